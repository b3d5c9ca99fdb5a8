"""Settings of the cohorts' inclusion steps and of the Sepsis-3 definition."""

from typing import Literal

from pydantic import Field

from workflow_scripts.runtime.parameters import Parameters


class CohortParameters(Parameters):
    """Inclusion steps that every cohort shares, in the order of the attrition table."""

    share_of_patients: float = Field(
        1,
        gt=0,
        le=1,
        description="share of the data set's patients that is studied, chosen by a hash of their identifiers: the same "
        "patients in every cohort",
    )
    minimum_age_years: float = Field(18, ge=0, description="age at ICU admission, years")
    first_stay_only: bool = Field(False, description="keep only each patient's first ICU stay")
    minimum_stay_hours: float = Field(
        25,
        gt=0,
        description="length of the ICU stay, hours; if it is not given, that of the shortest stay that has a window: "
        "context and one step, or context and horizon without windows.horizon_may_be_cut",
    )
    minimum_charted_values: int = Field(
        24, ge=0, description="charted values of each studied vital sign during the stay"
    )


class Sepsis3Parameters(Parameters):
    """Where published Sepsis-3 queries disagree. docs/cohorts.md gives each choice's source and reason.

    `definition` is a preset of all choices; a choice other than `preset` overrides it.
    """

    definition: Literal["clinical", "mimic_code"] = Field(
        "clinical", description="preset of all choices below; mimic_code gives the rows of its published SQL"
    )
    antibiotic_names: Literal["preset", "complete", "as_mimic_code"] = Field(
        "preset",
        description="names that count as antibiotics: as_mimic_code lacks ceftriaxone, carbapenems and others",
    )
    antibiotic_rows: Literal["preset", "by_prescription", "by_drug_name"] = Field(
        "preset",
        description="what route and type are asked of: each prescription, or any prescription of that name "
        "in the data set",
    )
    suspicions: Literal["preset", "any", "earliest"] = Field(
        "preset", description="suspicions of infection of a stay that can make it septic"
    )
    onset: Literal["preset", "first_hour", "knowable"] = Field(
        "preset",
        description="the onset: end of the first hour of the definition, in hindsight, as culture or antibiotic may be "
        "later; or the time from which score, culture and antibiotic are all known",
    )
    hour_grid: Literal["preset", "icu_admission", "first_heart_rate"] = Field(
        "preset", description="where the hours of SOFA begin and end"
    )
    window_hours: Literal["preset", 24, 25] = Field(
        "preset", description="hourly rows over which a component's worst value is taken"
    )
    repeated_hours: Literal["preset", "merged", "as_mimic_code"] = Field(
        "preset",
        description="an hour with several blood gases or rates of a drug: one row, or repeated rows that "
        "shorten the windows",
    )
    venous_gases: Literal["preset", "dropped", "as_mimic_code"] = Field(
        "preset",
        description="blood gases labelled as not arterial: none count, or those that look arterial to a regression",
    )
    full_oxygen: Literal["preset", "kept", "dropped"] = Field(
        "preset", description="a charted inspired oxygen of exactly 100 %"
    )
    ventilated_ratio_200_to_399: Literal["preset", "scored", "zero"] = Field(
        "preset", description="PaO2/FiO2 of 200 to 399 under ventilation: 2 or 1 points, or none"
    )
    urine_on_partial_days: Literal["preset", "not_scored", "as_mimic_code"] = Field(
        "preset", description="urine output before 24 hours of the stay are over"
    )

    def choices(self) -> dict[str, str | int]:
        """Every choice by name, with the preset's value where none is made."""
        made = self.model_dump(exclude={"definition"})
        preset = PRESETS[self.definition]
        return {name: preset[name] if value == "preset" else value for name, value in made.items()}


PRESETS: dict[str, dict[str, str | int]] = {
    "clinical": {
        "antibiotic_names": "complete",
        "antibiotic_rows": "by_prescription",
        "suspicions": "any",
        "onset": "first_hour",
        "hour_grid": "icu_admission",
        "window_hours": 24,
        "repeated_hours": "merged",
        "venous_gases": "dropped",
        "full_oxygen": "kept",
        "ventilated_ratio_200_to_399": "scored",
        "urine_on_partial_days": "not_scored",
    },
    "mimic_code": {
        "antibiotic_names": "as_mimic_code",
        "antibiotic_rows": "by_drug_name",
        "suspicions": "any",
        "onset": "first_hour",
        "hour_grid": "first_heart_rate",
        "window_hours": 25,
        "repeated_hours": "as_mimic_code",
        "venous_gases": "as_mimic_code",
        "full_oxygen": "dropped",
        "ventilated_ratio_200_to_399": "zero",
        "urine_on_partial_days": "as_mimic_code",
    },
}
"""Preset -> its choices."""
