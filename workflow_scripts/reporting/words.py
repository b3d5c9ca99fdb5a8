"""Names and numbers as a clinician reads them."""

import math
import re

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.adaptation.methods import METHODS
from workflow_scripts.sources.datasets import named_datasets

MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

DATASETS = {name: dataset.title for name, dataset in named_datasets().items()}
SIMULATED_DATASETS = tuple(
    name for name, dataset in named_datasets().items() if dataset.patients == "simulated"
)

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
}
_MODELS = {
    "persistence": "last value carried forward",
    "mean-of-context": "mean of the context",
    "seasonal-naive": "value of the day before",
    "auto-ets": "AutoETS",
    "theta": "Theta",
    "n-beats": "N-BEATS",
    "n-hits-bp": "N-HiTS (settings for blood pressure)",
    "n-hits-hr": "N-HiTS (settings for heart rate)",
    "tft": "TFT",
}
_FAMILIES = (
    ("chronos-t5", "Chronos-T5"),
    ("chronos-bolt", "Chronos-Bolt"),
    ("chronos", "Chronos"),
    ("moirai", "MOIRAI"),
    ("lag-llama", "Lag-Llama"),
)


def vital_name(vital: str) -> str:
    """`mean blood pressure` for mean_blood_pressure."""
    return _VITALS.get(vital, vital.replace("_", " "))


def cohort_name(cohort: str) -> str:
    """`sepsis (explicit codes)` for explicit."""
    return _COHORTS.get(cohort, cohort.replace("_", " "))


def model_name(model: str) -> str:
    """`Chronos-T5 nano` for chronos-t5-nano."""
    base = model.removesuffix("-multivariate")
    several = ", with other vital signs" if base != model else ""
    if base in _MODELS:
        return _MODELS[base] + several
    for prefix, name in _FAMILIES:
        if base.startswith(prefix):
            rest = base[len(prefix) :].strip("-")
            return f"{name} {rest.replace('-', ' ').replace('R ', '')}".strip() + several
    return base + several


def method_name(method: str) -> str:
    """`LoRA` for lora."""
    return METHODS[method].label if method in METHODS else method


def arm_name(arm: str) -> str:
    """`LoRA, rank 4` for lora-r4."""
    parsed = Arm.parse(arm)
    return (
        parsed.definition.label if parsed.rank is None else f"{parsed.definition.label}, rank {parsed.rank}"
    )


def subject(model: str, arm: str) -> str:
    """A model under an arm, where that does not go without saying."""
    return model_name(model) if arm in ("baseline", "trained") else f"{model_name(model)}, {arm_name(arm)}"


_IDS = re.compile(
    rf"(?<![\w-])((?:{'|'.join((*_MODELS, *(prefix for prefix, _ in _FAMILIES)))})(?:[-.][A-Za-z0-9]+)*)"
    rf"(?: ({'|'.join(METHODS)})(?:-r(\d+))?)?(?![\w-])"
)


def in_words(text: str) -> str:
    """A text with names for the ids of models and their arms: `Chronos-T5 nano (LoRA, rank 4) against …`."""

    def named(found: re.Match[str]) -> str:
        model, method, rank = found.groups()
        if method in (None, "baseline", "trained"):
            return model_name(model)
        return f"{model_name(model)} ({arm_name(f'{method}-r{rank}' if rank else method)})"

    return re.sub(r"\bfull\b(?! fine)", "full fine-tuning", _IDS.sub(named, text))


def capital(text: str) -> str:
    """The text with its first letter as a capital."""
    return text[:1].upper() + text[1:]


def listed(names: list[str], word: str = "and") -> str:
    """`a, b and c`."""
    return f" {word} ".join(part for part in (", ".join(names[:-1]), names[-1] if names else "") if part)


def number(value: float | None, digits: int = 2) -> str:
    """Fixed decimals where they say something, three significant digits with a power of ten elsewhere."""
    if value is None or not math.isfinite(value):
        return "–"
    smallest = 10.0**-digits
    if value == 0 or smallest <= abs(value) < 1e5:
        return f"{value:,.{digits}f}".replace("-", MINUS)
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa.replace('-', MINUS)} {TIMES} 10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def span(low: float | None, high: float | None, digits: int = 2, word: str = "–") -> str:
    """Both ends of an interval; empty where one is missing."""
    if low is None or high is None:
        return ""
    return f"{number(low, digits)} {word} {number(high, digits)}"


def signed(value: float, digits: int = 2) -> str:
    """A difference with its sign; a difference of nothing has none."""
    text = number(abs(value), digits)
    if not value or text.strip("0.") == "":
        return text
    return f"{MINUS if value < 0 else '+'}{text}"


def signed_percent(share: float) -> str:
    """A relative difference in percent at one decimal; one that is not nothing keeps its sign."""
    sign = MINUS if share < 0 else "+" if share else ""
    return f"{sign}{abs(100 * share):,.1f} %"


def signed_span(low: float, high: float, digits: int = 2) -> str:
    """Both ends of a difference's interval, with their signs."""
    return f"{signed(low, digits)} to {signed(high, digits)}"


def count(value: float) -> str:
    """A count with its thousands apart."""
    return f"{value:,.0f}"


def percent(share: float, digits: int = 0) -> str:
    """A share in percent; one that is not nothing is never shown as nothing."""
    if 0 < share < 0.01 and digits == 0:
        return "< 1 %"
    return f"{100 * share:.{digits}f} %"


def probability(value: float) -> str:
    """A p-value; a small one is not said to be nothing."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def seconds(value: float | None) -> str:
    """A time in the unit that suits it."""
    if value is None or not math.isfinite(value):
        return "–"
    for size, unit in ((3600, "h"), (60, "min")):
        if value >= 1.5 * size:
            return f"{value / size:,.1f} {unit}"
    if value and value < 0.1:
        return f"{1000 * value:.3g} ms"
    return f"{value:.1f} s"
