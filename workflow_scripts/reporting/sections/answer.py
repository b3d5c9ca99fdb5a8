"""The answer in plain words: sentences that claim what an interval shows, and nothing else.

A difference is claimed where its interval lies on one side of zero and its p-value survives Holm's correction.
"""

from collections.abc import Iterable, Sequence
from typing import get_args

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.evaluation.choice import recommended
from workflow_scripts.evaluation.names import capital, counted, listed, model_name, run_name
from workflow_scripts.evaluation.summary import ComparisonRow, RankRow
from workflow_scripts.reporting.page import Block, Section
from workflow_scripts.reporting.statistics import Statistics, Verdict, claim
from workflow_scripts.reporting.study import (
    UNTRAINED,
    ForecastTask,
    Study,
    idle_words,
    mean,
    recommended_arms,
)
from workflow_scripts.reporting.words import number, percent, span

METHOD = "lora"
"""The method that the study asks about."""

LAST_VALUE = "persistence"
"""The baseline to compare with in a sentence."""

KINDS = {"foundation": "", "scratch": ", trained from scratch", "baseline": ", which learns nothing"}
"""What a reader must know of a model that is no adapted one."""

CORRECTED = (
    "A difference is claimed where its {confidence} interval lies on one side of zero and its p-value survives "
    "Holm's correction over all comparisons of the vital sign. The verdicts on the paper's findings, further below, "
    "are corrected over its fewer claims: what is open here can have a verdict there."
)


VERDICTS: dict[Verdict, str] = {
    "lower": "the error is lower",
    "higher": "the error is higher",
    "same": "the errors are exactly the same",
    "open": "inconclusive",
    "missing": "the comparison could not be made",
}


def answer_section(study: Study) -> Section:
    """A few sentences for each cohort and vital sign."""
    statistics = study.sources.statistics
    blocks = [Block(task.title, points=answers(study, task)) for task in study.tasks]
    rule = CORRECTED.format(confidence=statistics.confidence) if statistics.comparisons else ""
    return Section("answer", "The answer", blocks, rule)


def answers(study: Study, task: ForecastTask) -> list[str]:
    """What was found for one vital sign in one cohort; where nothing could be compared, only why."""
    statistics = study.sources.statistics
    level = statistics.level
    rows = [row for row in task.of(statistics.comparisons) if row.metric == "mse"]
    sentences = [_recommended(study, task), _idle(task)]
    if any(claim(row, level) != "missing" for row in rows):
        lora = [row for row in rows if Arm.parse(row.arm).method == METHOD and row.against_model == row.model]
        last_value = [row for row in rows if row.against_model == LAST_VALUE]
        sentences += [
            against("LoRA", "the same model without training", _to(lora, "zero-shot"), level),
            against("LoRA", "full fine-tuning", _to(lora, "full"), level),
            against("The recommended arm", "carrying the last value forward", last_value, level),
            _against_scratch(task, rows, level),
            rank_answer([row for row in task.of(statistics.ranks) if row.metric == "mse"], statistics),
        ]
    return [sentence for sentence in sentences if sentence]


def _against_scratch(task: ForecastTask, rows: Sequence[ComparisonRow], level: float) -> str:
    """The planned comparisons with the recommended arm that was trained from scratch."""
    best = recommended([arm for arm in task.arms if arm.kind == "scratch"])
    if best is None:
        return ""
    name = (best.first.model, best.first.arm)
    other = f"{run_name(*name)}, recommended of those trained from scratch"
    with_it = [row for row in rows if (row.against_model, row.against_arm) == name]
    return against("The recommended arm", other, with_it, level)


def _to(rows: Iterable[ComparisonRow], arm: str) -> list[ComparisonRow]:
    return [row for row in rows if row.against_arm == arm]


def against(who: str, other: str, rows: Sequence[ComparisonRow], level: float) -> str:
    """A sentence about comparisons with one kind of arm; empty where there is none."""
    if not rows:
        return ""
    said = []
    for verdict in get_args(Verdict):
        if models := _models(rows, verdict, level):
            said.append(f"{VERDICTS[verdict]} for {models}")
    once = " (one seed)" if max(row.seeds for row in rows) == 1 else ""
    return f"{who} against {other}{once}: {'; '.join(said)}."


def _models(rows: Sequence[ComparisonRow], verdict: Verdict, level: float) -> str:
    """Models for which a verdict holds, with the ranks where it does not hold for all; empty where for none."""
    ranks: dict[str, str] = {}
    for model in dict.fromkeys(row.model for row in rows):
        own = [row for row in rows if row.model == model]
        holds = [str(Arm.parse(row.arm).rank) for row in own if claim(row, level) == verdict]
        if holds and len(holds) == len(own):
            ranks[model_name(model)] = f"all {len(own)} ranks" if len(own) > 1 else ""
        elif holds:
            ranks[model_name(model)] = f"{'rank' if len(holds) == 1 else 'ranks'} {listed(holds)}"
    every = set(ranks.values())
    if len(ranks) > 1 and len(every) == 1 and (same := every.pop()).startswith("all"):
        return f"{listed([*ranks])} ({same} each)"
    return listed([f"{name} ({own})" if own else name for name, own in ranks.items()])


def _recommended(study: Study, task: ForecastTask) -> str:
    """What to take of each model, chosen on validation, and how far the best of these misses on the test patients."""
    statistics, arms = study.sources.statistics, recommended_arms(task)
    if not arms:
        return "No arm gave a finite error: none is recommended."
    best = arms[0]
    interval, shown, miss = study.interval(best, "mse"), study.interval(best, "mae"), mean(best, "mae")
    said = listed([run_name(arm.first.model, arm.first.arm) + KINDS[arm.kind] for arm in arms])
    sentence = f"Recommended, on validation alone: {said}"
    if miss is not None:
        which = "it misses" if len(arms) == 1 else "the first, with the smallest validation error, misses"
        sentence += (
            f". On the test patients {which} by {number(miss, 1)}\N{NO-BREAK SPACE}{task.unit} on average"
        )
        ends = span(shown.low, shown.high, 1, "to") if shown else ""
        sentence += f" ({statistics.confidence} interval {ends})" if ends else ""
        sentence += _simplest(task)
    if interval is None or interval.low is None:
        reason = interval.reason if interval else "no intervals were computed"
        return f"{sentence}. No difference is claimed: {reason}."
    return f"{sentence}."


def _simplest(task: ForecastTask) -> str:
    """How far the last value carried forward misses, to hold the best against; no difference is claimed."""
    arm = next((arm for arm in task.arms if arm.first.model == LAST_VALUE), None)
    miss = mean(arm, "mae") if arm else None
    return "" if miss is None else f"; the last value carried forward misses by {number(miss, 1)}"


def _idle(task: ForecastTask) -> str:
    """Which arms are the untrained model still; empty where all learned something."""
    models = [f"{model_name(model)} ({arms})" for model, arms in idle_words(task.arms).items()]
    return f"Nothing was learned by {listed(models)}: {UNTRAINED}." if models else ""


def rank_answer(rows: Sequence[RankRow], statistics: Statistics) -> str:
    """Which rank is enough, where the resamples agree on one; otherwise that they do not, or why none is."""
    rows = [row for row in rows if row.method == METHOD]
    settled, unsettled = [], []
    without: dict[str, list[str]] = {}
    for model in dict.fromkeys(row.model for row in rows):
        own = [row for row in rows if row.model == model]
        chosen = next((row for row in own if row.threshold), None)
        if own[0].reason or chosen is None or chosen.share is None:
            without.setdefault(own[0].reason or "no threshold", []).append(model_name(model))
        elif chosen.share >= statistics.parameters.confidence:
            settled.append(f"rank {chosen.rank} for {model_name(model)}")
        else:
            unsettled.append(
                f"{model_name(model)} (rank {chosen.rank} in {percent(chosen.share)} of the resamples)"
            )
    said = []
    margin = f"{100 * rows[0].margin:g} %" if rows else ""
    if settled:
        said.append(f"The smallest LoRA rank within {margin} of the best is {listed(settled)}")
    if unsettled:
        said.append(f"which LoRA rank is enough is not settled for {listed(unsettled)}")
    said += [f"no LoRA rank is called enough for {listed(models)}: {why}" for why, models in without.items()]
    return f"{capital('; '.join(said))}." if said else ""


def lead(study: Study) -> str:
    """How many runs, of what."""
    models = len({row.model for row in study.rows})
    arms = len({(row.model, row.arm) for row in study.rows})
    return f"{len(study.rows)} runs: {counted(models, 'model')} in {counted(arms, 'arm')}"
