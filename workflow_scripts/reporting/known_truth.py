"""What benchmarks/known_truth.py found, as Markdown: a planted shift, and arms that do not differ."""

from collections.abc import Mapping
from typing import Any

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.reporting.markdown import markdown_table
from workflow_scripts.reporting.words import (
    arm_name,
    capital,
    listed,
    method_name,
    model_name,
    percent,
    signed,
    signed_span,
    vital_name,
)

CLAIMS = {"lower": "**lower**", "higher": "**higher**", "open": "not told apart"}


def known_truth_text(found: Mapping[str, Any]) -> str:
    """Both tests, each with what was done and a table."""
    return f"{_shift_text(found)}\n\n{_null_text(found)}"


def _shift_text(found: Mapping[str, Any]) -> str:
    unit, patients = found["unit"], found["patients"]
    intro = (
        f"**A planted shift.** {signed(found['planted'], 0)} {unit} were added to every target of "
        f"{vital_name(found['vital'])} in all splits, the contexts stayed: the truth is that the bias of a model that "
        f"is not adapted changes by {signed(-found['planted'], 0)} {unit}. {patients['train']} patients in training, "
        f"{patients['test']} in test; at most {found['steps']} steps and {_seeds(found['seeds']['shift'])} for each "
        "arm. Bias is the mean of median forecast less truth; recovered is the bias less that of zero-shot, as a share "
        f"of the shift. In brackets {_confidence(found)} intervals over patients and seeds."
    )
    compared = {(row["model"], row["arm"], row["against_arm"]): row for row in found["comparisons"]}
    lines = []
    for row in found["shift"]:
        adapted = row["arm"] != "zero-shot"
        recovered = f"{percent(row['recovered'])} ({percent(row['recovered_low'])} to {percent(row['recovered_high'])})"
        bias = f"{signed(row['bias'], 1)} ({signed_span(row['bias_low'], row['bias_high'], 1)})"
        against = [compared.get((row["model"], row["arm"], other)) for other in ("zero-shot", "full")]
        lines.append(
            [
                f"{capital(model_name(row['model']))}, {arm_name(row['arm'])}",
                bias,
                recovered if adapted else "–",
                *(CLAIMS[other["claim"]] if other else "–" for other in against),
            ]
        )
    names = ("model and arm", f"bias, {unit}", "recovered", "MSE, against zero-shot", "against full")
    return f"{intro}\n\n{markdown_table(names, lines)}\n\n{_shift_sentence(found)}"


def _shift_sentence(found: Mapping[str, Any]) -> str:
    """How many LoRA arms recovered how much, and what the comparisons said."""
    lora = [row for row in found["shift"] if Arm.parse(row["arm"]).method == "lora"]
    claims = [
        row["claim"]
        for row in found["comparisons"]
        if row["against_arm"] == "zero-shot" and Arm.parse(row["arm"]).method == "lora"
    ]
    shares = [row["recovered"] for row in lora]
    whole = sum(row["recovered_low"] <= 1 <= row["recovered_high"] for row in lora)
    return (
        f"LoRA recovered {percent(min(shares))} to {percent(max(shares))} of the shift; the interval holds all of it "
        f"in {whole} of {len(lora)} arms. After Holm's correction its MSE is called lower than zero-shot's in "
        f"{claims.count('lower')} of {len(claims)} comparisons."
    )


def _null_text(found: Mapping[str, Any]) -> str:
    models, vitals = listed([*map(model_name, found["models"])]), listed([*map(vital_name, found["vitals"])])
    intro = (
        f"**A null test.** Arms that are the same but for their seeds, of {models} on {vitals}, compared as the report "
        f"compares arms: every claim is a false alarm, and the nominal level is {percent(1 - found['confidence'])}. A "
        "family is one pair of groups of seeds, of all models on one vital sign. In brackets exact binomial intervals, "
        "as if pairs were independent; they share their patients."
    )
    lines = [
        [
            row["arm"] if "," in row["arm"] else arm_name(row["arm"]),
            str(row["seeds"]),
            _share(row["alarms"], row["pairs"], found),
            _share(row["claims"], row["pairs"], found),
            _share(row["claiming"], row["families"], found),
        ]
        for row in found["null"]
    ]
    names = (
        "arm against itself",
        "seeds of each",
        f"{_confidence(found)} intervals without zero",
        "pairs claimed after Holm",
        "families with a claim",
    )
    sentences = [_verdict(row, found) for row in found["null"]]
    return f"{intro}\n\n{markdown_table(names, lines)}\n\n{' '.join(sentences)}"


def _verdict(row: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Whether the share of intervals without zero is told apart from the nominal level."""
    level = 1 - found["confidence"]
    low, high = binomial_interval(row["alarms"], row["pairs"], found["confidence"])
    where = "above" if low > level else "below" if high < level else "not told apart from"
    name = method_name(row["arm"]) if row["arm"] == "zero-shot" else "trained arms"
    return f"{capital(name)}, {_seeds(row['seeds'])}: the rate of false alarms is {where} the nominal level."


def _seeds(seeds: int) -> str:
    return f"{seeds} seed{'s' if seeds > 1 else ''}"


def _share(count: int, of: int, found: Mapping[str, Any]) -> str:
    low, high = binomial_interval(count, of, found["confidence"])
    return f"{count} of {of}: {percent(count / of, 1)} ({percent(low, 1)} to {percent(high, 1)})"


def binomial_interval(count: int, of: int, confidence: float) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson, Biometrika 26 (1934), 404-413)."""
    from scipy.stats import binomtest

    ends = binomtest(count, of).proportion_ci(confidence, method="exact")
    return float(ends.low), float(ends.high)


def _confidence(found: Mapping[str, Any]) -> str:
    return f"{100 * found['confidence']:g} %"
