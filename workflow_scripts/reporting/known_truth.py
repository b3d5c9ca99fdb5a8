"""What benchmarks.known_truth found: a planted shift, and arms that do not differ."""

from collections.abc import Mapping
from typing import Any

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.evaluation.names import (
    arm_name,
    capital,
    counted,
    listed,
    method_name,
    model_name,
    run_name,
    vital_name,
)
from workflow_scripts.reporting.markdown import section_text
from workflow_scripts.reporting.page import Block, Cell, Group, Line, Section, Table, heads
from workflow_scripts.reporting.statistics import CLAIMED
from workflow_scripts.reporting.words import percent, signed, signed_span


def known_truth_text(found: Mapping[str, Any]) -> str:
    """Both tests as Markdown, each with what was done and a table."""
    return section_text(Section("known-truth", "Where the truth is known", [_shift(found), _null(found)]))


def _shift(found: Mapping[str, Any]) -> Block:
    unit, patients = found["unit"], found["patients"]
    intro = (
        f"{signed(found['planted'], 0)} {unit} were added to every target of {vital_name(found['vital'])} in all "
        "splits, the contexts stayed: the truth is that the bias of a model that is not adapted changes by "
        f"{signed(-found['planted'], 0)} {unit}. {patients['train']} patients in training, {patients['test']} in test; "
        f"at most {found['steps']} steps and {counted(found['seeds']['shift'], 'seed')} for each arm. Bias is the mean "
        "of median forecast less truth; recovered is the bias less that of zero-shot, as a share of the shift. In "
        f"brackets {_confidence(found)} intervals over patients and seeds."
    )
    compared = {(row["model"], row["arm"], row["against_arm"]): row["claim"] for row in found["comparisons"]}
    lines = []
    for row in found["shift"]:
        bias = Cell(signed(row["bias"], 1), signed_span(row["bias_low"], row["bias_high"], 1))
        recovered = Cell("–")
        if row["arm"] != "zero-shot":
            ends = f"{percent(row['recovered_low'])} to {percent(row['recovered_high'])}"
            recovered = Cell(percent(row["recovered"]), ends)
        claims = [compared.get((row["model"], row["arm"], other)) for other in ("zero-shot", "full")]
        lines.append(
            Line(capital(run_name(row["model"], row["arm"])), [bias, recovered, *map(_claim, claims)])
        )
    names = (
        "model and arm",
        f"bias, {unit}",
        "recovered",
        "MSE, against zero-shot",
        "against full fine-tuning",
    )
    table = Table("shift", "A planted shift", heads(*names), [Group(lines)])
    return Block("A planted shift", intro, tables=[table], note=_shift_sentence(found))


def _claim(claim: str | None) -> Cell:
    if claim is None:
        return Cell("–")
    return Cell(claim, mark=CLAIMED[claim]) if claim in CLAIMED else Cell("inconclusive")


def _shift_sentence(found: Mapping[str, Any]) -> str:
    """How many LoRA arms recovered how much, and what the comparisons said."""
    lora = [row for row in found["shift"] if Arm.parse(row["arm"]).method == "lora"]
    claims = [
        row["claim"]
        for row in found["comparisons"]
        if row["against_arm"] == "zero-shot" and Arm.parse(row["arm"]).method == "lora"
    ]
    shares = [row["recovered"] for row in lora]
    complete = sum(row["recovered_low"] <= 1 <= row["recovered_high"] for row in lora)
    return (
        f"LoRA recovered {percent(min(shares))} to {percent(max(shares))} of the shift; the interval holds all of it "
        f"in {complete} of {len(lora)} arms. After Holm's correction its MSE is called lower than zero-shot's in "
        f"{claims.count('lower')} of {len(claims)} comparisons."
    )


def _null(found: Mapping[str, Any]) -> Block:
    models, vitals = listed([*map(model_name, found["models"])]), listed([*map(vital_name, found["vitals"])])
    intro = (
        f"Arms that are the same but for their seeds, of {models} on {vitals}, compared as the report compares arms: "
        f"every claim is a false alarm, and the nominal level is {percent(1 - found['confidence'])}. A family is one "
        "pair of groups of seeds, of all models on one vital sign. In brackets exact binomial intervals, as if pairs "
        "were independent; they share their patients."
    )
    counts = (("alarms", "pairs"), ("claims", "pairs"), ("claiming", "families"))
    lines = [
        Line(
            row["arm"] if "," in row["arm"] else arm_name(row["arm"]),
            [Cell(str(row["seeds"])), *(_share(row[count], row[of], found) for count, of in counts)],
        )
        for row in found["null"]
    ]
    names = ("seeds of each", f"{_confidence(found)} intervals without zero", "pairs claimed after Holm")
    table = Table(
        "null", "A null test", heads("arm against itself", *names, "families with a claim"), [Group(lines)]
    )
    return Block(
        "A null test", intro, tables=[table], note=" ".join(_verdict(row, found) for row in found["null"])
    )


def _verdict(row: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Whether the share of intervals without zero differs from the nominal level."""
    level = 1 - found["confidence"]
    low, high = binomial_interval(row["alarms"], row["pairs"], found["confidence"])
    where = "above" if low > level else "below" if high < level else "not distinguishable from"
    name = method_name(row["arm"]) if row["arm"] == "zero-shot" else "trained arms"
    return f"{capital(name)}, {counted(row['seeds'], 'seed')}: the rate of false alarms is {where} the nominal level."


def _share(count: int, of: int, found: Mapping[str, Any]) -> Cell:
    low, high = binomial_interval(count, of, found["confidence"])
    return Cell(f"{count} of {of}: {percent(count / of, 1)}", f"{percent(low, 1)} to {percent(high, 1)}")


def binomial_interval(count: int, of: int, confidence: float) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson, Biometrika 26 (1934), 404-413)."""
    from scipy.stats import binomtest

    ends = binomtest(count, of).proportion_ci(confidence, method="exact")
    return float(ends.low), float(ends.high)


def _confidence(found: Mapping[str, Any]) -> str:
    return f"{100 * found['confidence']:g} %"
