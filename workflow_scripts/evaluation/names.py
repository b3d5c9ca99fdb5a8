"""Data sets, cohorts, vital signs, models and arms as a clinician reads them: for findings, tables and the report."""

from collections.abc import Sequence

from workflow_scripts.adaptation.arms import BASELINE, Arm
from workflow_scripts.adaptation.methods import METHODS
from workflow_scripts.models.registry import label_of
from workflow_scripts.sources.datasets import dataset_of

TRAINED = Arm("trained")

_VITALS = {
    "mean_blood_pressure_derived": "mean blood pressure (from systolic and diastolic)",
    "spo2": "oxygen saturation",
}
_COHORTS = {
    "all": "all stays",
    "explicit": "sepsis (explicit codes)",
    "sepsis3": "Sepsis-3",
    "angus": "sepsis (Angus' codes)",
    "martin": "sepsis (Martin's codes)",
    "aki": "acute kidney injury",
    "icu_deaths": "deaths in the ICU",
    "kidney_function": "kidney function known",
    "mortality24": "survival of the ICU known",
}


def dataset_name(dataset: str) -> str:
    """`the open MIMIC-III demo` for mimic-iii-demo."""
    return dataset_of(dataset).title


def vital_name(vital: str) -> str:
    """`mean blood pressure` for mean_blood_pressure."""
    return _VITALS.get(vital, vital.replace("_", " "))


def cohort_name(cohort: str) -> str:
    """`sepsis (explicit codes)` for explicit; `all stays of the open MIMIC-III demo` for mimic-iii-demo.all."""
    dataset, is_site, name = cohort.rpartition(".")
    if is_site:
        return f"{cohort_name(name)} of {dataset_name(dataset)}"
    group, _, hospital = cohort.partition("_hospital_")
    if hospital:
        return f"{cohort_name(group)}, hospital {hospital.upper()}"
    return _COHORTS.get(cohort, cohort.replace("_", " "))


def model_name(model: str) -> str:
    """`Chronos-T5 nano` for chronos-t5-nano."""
    return label_of(model)


def method_name(method: str) -> str:
    """`LoRA` for lora."""
    return METHODS[method].label


def arm_name(arm: str) -> str:
    """`LoRA, rank 4` for lora-r4."""
    parsed = Arm.parse(arm)
    return (
        parsed.definition.label if parsed.rank is None else f"{parsed.definition.label}, rank {parsed.rank}"
    )


def is_implied(arm: Arm) -> bool:
    """Whether an arm need not be named beside its model: that of a baseline, and plain training from scratch."""
    return arm in (BASELINE, TRAINED)


def run_name(model: str, arm: str) -> str:
    """`Chronos-T5 nano, LoRA, rank 4`; `Theta`."""
    return model_name(model) if is_implied(Arm.parse(arm)) else f"{model_name(model)}, {arm_name(arm)}"


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def counted(number: int, name: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number:,} {name}{'s' if number != 1 else ''}"


def capital(text: str) -> str:
    """The text with its first letter as a capital."""
    return text[:1].upper() + text[1:]
