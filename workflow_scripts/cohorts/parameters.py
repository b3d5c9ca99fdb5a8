"""Settings of the cohorts' inclusion steps."""

from pydantic import Field

from workflow_scripts.runtime.parameters import Parameters


class CohortParameters(Parameters):
    """Inclusion steps that every cohort shares, in the order of the attrition table."""

    minimum_age_years: float = Field(18, ge=0, description="age at ICU admission, years")
    first_stay_only: bool = Field(False, description="keep only each patient's first ICU stay")
    minimum_stay_hours: float = Field(36, gt=0, description="length of the ICU stay, hours")
    minimum_charted_values: int = Field(
        24, ge=0, description="charted values of each studied vital sign during the stay"
    )
