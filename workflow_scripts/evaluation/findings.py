"""The paper's seven findings, each held against one cohort and vital sign: findings.csv. docs/findings.md explains.

Every number is an array of 1 + resamples: the value on the data, then its replicates, so that one formula serves both.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.patient_sums import RESAMPLED
from workflow_scripts.evaluation.planning import best_on_validation, is_from_scratch
from workflow_scripts.evaluation.rank_threshold import smallest_good_rank
from workflow_scripts.evaluation.subjects import ResampledArm, Subject
from workflow_scripts.evaluation.summary import FindingRow
from workflow_scripts.models.registry import MULTIVARIATE_VARIANTS

METRIC = "mse"
FAMILIES = {"chronos": "Chronos", "lag-llama": "Lag-Llama", "moirai": "MOIRAI"}
"""Those of the paper, as run records name them, and as it does."""

AGREES, DISAGREES, UNDECIDED, NOT_TESTED = "agrees", "disagrees", "undecided", "not tested"

Array = NDArray[np.float64]
Verdict = Callable[[float, float], str]


@dataclass(frozen=True)
class Claim:
    """One statement of the paper. missing: why it cannot be tested at all; then the rest is empty.

    arms: all that it compares; estimate: of their errors [1 + resamples] each, in that order; verdict: from the two
    ends of the estimate's interval; words: what the value means.
    """

    finding: int
    subject: str
    missing: str = ""
    arms: Sequence[ResampledArm] = ()
    estimate: Callable[[Sequence[Array]], Array] = lambda errors: errors[0]
    verdict: Verdict = lambda low, high: UNDECIDED  # noqa: ARG005
    words: Callable[[float], str] = str


@dataclass(frozen=True)
class Model:
    """The arms of one model that the findings speak of; lora is the rank with the smallest validation loss."""

    name: str
    family: str
    parameters: int
    arms: dict[str, ResampledArm]
    lora: ResampledArm | None
    ranks: list[ResampledArm]

    def arm(self, kind: str) -> ResampledArm | None:
        """zero-shot, full, or lora."""
        return self.lora if kind == "lora" else self.arms.get(kind)


def findings(subject: Subject) -> list[FindingRow]:
    """Hold every finding against one cohort and vital sign; each has at least one row."""
    vital = subject.arms[0].summary.first.vital
    models = _models(subject)
    margins = subject.parameters.rank_margin, subject.parameters.close_margin
    scratch = [arm for arm in subject.arms if is_from_scratch(arm.summary)]
    claims = [
        *_zero_shot(models),
        *_lora_improves(models),
        *_lag_llama(models, vital),
        *_moirai(models, margins[1]),
        *_chronos(models, margins[0]),
        *_from_scratch(models, scratch, vital, margins[1]),
        *_levels_off(models, margins[0]),
        *_small_react_more(models),
    ]
    return [_row(subject, claim) for claim in claims]


def below(limit: float) -> Verdict:
    """The claim that a number is below a limit."""
    return lambda low, high: AGREES if high < limit else DISAGREES if low > limit else UNDECIDED


def above(limit: float) -> Verdict:
    """The claim that a number is above a limit."""
    return lambda low, high: AGREES if low > limit else DISAGREES if high < limit else UNDECIDED


def within(limit: float) -> Verdict:
    """The claim that a number is nearer to 0 than a limit."""

    def judge(low: float, high: float) -> str:
        if -limit < low and high < limit:
            return AGREES
        return DISAGREES if low > limit or high < -limit else UNDECIDED

    return judge


def _models(subject: Subject) -> list[Model]:
    models = []
    for name, group in groupby(subject.arms, key=lambda arm: arm.summary.first.model):
        if name in MULTIVARIATE_VARIANTS:  # The paper forecasts each vital sign alone.
            continue
        arms = {arm.summary.first.arm: arm for arm in group}
        ranks = [arm for arm in arms.values() if arm.summary.method == "lora"]
        lora = None
        if ranks:
            chosen = best_on_validation([arm.summary for arm in ranks])
            lora = next(arm for arm in ranks if arm.summary is chosen)
        first = next(iter(arms.values())).summary.first
        smallest = min(arm.summary.first.total_parameters for arm in arms.values())
        models.append(Model(name, first.family, smallest, arms, lora, ranks))
    return models


def _zero_shot(models: Sequence[Model]) -> Iterator[Claim]:
    for family in ("lag-llama", "moirai"):
        title = f"zero-shot: Chronos ahead of {FAMILIES[family]}"
        yield _between(1, title, models, ("chronos", "zero-shot"), (family, "zero-shot"), below(0.0))


def _lora_improves(models: Sequence[Model]) -> Iterator[Claim]:
    for family, name in FAMILIES.items():
        title = f"{name}: LoRA improves on zero-shot"
        yield _between(2, title, models, (family, "lora"), (family, "zero-shot"), below(0.0))


def _lag_llama(models: Sequence[Model], vital: str) -> Iterator[Claim]:
    lora, full = ("lag-llama", "lora"), ("lag-llama", "full")
    if vital == "mean_blood_pressure":
        yield _between(3, "Lag-Llama: full better than LoRA", models, lora, full, above(0.0))
    elif vital == "heart_rate":
        yield _between(3, "Lag-Llama: LoRA better than full", models, lora, full, below(0.0))
    else:
        yield Claim(3, "Lag-Llama: LoRA against full", _of_other_vitals(vital))


def _moirai(models: Sequence[Model], margin: float) -> Iterator[Claim]:
    large = [
        model for model in models if model.family == "moirai" and re.search("-(base|large)$", model.name)
    ]
    others = [model for model in models if model not in large]
    lora, full = ("moirai", "lora"), ("moirai", "full")
    yield _full_is_best(others)
    title = f"MOIRAI: LoRA within {margin:.0%} of full"
    yield _between(4, title, others, lora, full, within(margin))
    for size in ("base", "large"):
        own = [model for model in large if model.name.endswith(size)]
        title = f"MOIRAI {size}: full worse than zero-shot"
        yield _between(4, title, own, full, ("moirai", "zero-shot"), above(0.0))


def _full_is_best(models: Sequence[Model]) -> Claim:
    own = [model for model in models if model.family == "moirai"]
    title = "MOIRAI: full better than both LoRA and zero-shot"
    missing = _missing(own, "moirai", "full", "lora", "zero-shot")
    if missing:
        return Claim(4, title, missing)
    kinds = ("full", "lora", "zero-shot")
    arms = [arm for kind in kinds for arm in _arms(own, kind)]

    def estimate(errors: Sequence[Array]) -> Array:
        full, lora, zero_shot = (np.mean(part, axis=0) for part in np.split(np.stack(errors), 3))
        return full / np.minimum(lora, zero_shot) - 1

    named = f"{_named(_arms(own, 'full'))} against {_named(_arms(own, 'lora'))} and zero-shot"
    words = _difference("full's error", "that of the better of both")
    return Claim(4, f"{title}: {named}", "", arms, estimate, below(0.0), words)


def _chronos(models: Sequence[Model], margin: float) -> Iterator[Claim]:
    title = f"Chronos: LoRA better than full, or equal within {margin:.0%}"
    yield _between(5, title, models, ("chronos", "lora"), ("chronos", "full"), below(margin))


def _from_scratch(
    models: Sequence[Model], scratch: Sequence[ResampledArm], vital: str, margin: float
) -> Iterator[Claim]:
    """The best from scratch is that of each resample: chosen in its own favour, so against the claim."""
    named = {"heart_rate": "chronos-t5-small", "mean_blood_pressure": "chronos-t5-tiny"}.get(vital)
    if named is None:
        yield Claim(6, "LoRA Chronos against models from scratch", _of_other_vitals(vital))
        return
    beats = vital == "heart_rate"
    chronos = sorted(
        (model for model in models if model.family == "chronos"), key=lambda each: each.parameters
    )
    model = next((model for model in chronos if model.name == named), chronos[0] if chronos else None)
    title = f"LoRA {named} {'beats' if beats else f'within {margin:.0%} of'} the best from scratch"
    missing = _missing([model] if model else [], "chronos", "lora")
    if not missing and not scratch:
        missing = "no model from scratch in the study"
    if missing or model is None or model.lora is None:
        yield Claim(6, title, missing)
        return
    place = "" if model.name == named else f" (in place of {named}, which is not in the study)"
    yield Claim(
        6,
        f"{title}: {_named([model.lora])}{place} against {_named(scratch)}",
        "",
        [model.lora, *scratch],
        lambda errors: errors[0] / np.min(errors[1:], axis=0) - 1,
        below(0.0 if beats else margin),
        _difference("LoRA's error", "that of the best from scratch"),
    )


def _levels_off(models: Sequence[Model], margin: float) -> Iterator[Claim]:
    own = [model for model in models if model.family in FAMILIES]
    yield from (_model_levels_off(model, margin) for model in own)
    if not own:
        yield Claim(7, "the gain of LoRA levels off with rank", _none_of("the paper's families"))


def _model_levels_off(model: Model, margin: float) -> Claim:
    title = f"{model.name}: the gain of LoRA levels off below the highest rank"
    zero_shot = model.arm("zero-shot")
    if len(model.ranks) < 2 or zero_shot is None:
        return Claim(7, title, "fewer than two ranks of lora, or no arm zero-shot")
    ranks = np.array([arm.summary.first.rank for arm in model.ranks], dtype=np.float64)

    def verdict(low: float, high: float) -> str:
        return AGREES if high < ranks[-1] else DISAGREES if low == ranks[-1] else UNDECIDED

    return Claim(
        7,
        f"{title} ({ranks[-1]:g})",
        "",
        [*model.ranks, zero_shot],
        _threshold(ranks, margin),
        verdict,
        lambda rank: (
            f"rank {rank:g}: the smallest within {margin:.0%} of the best, the highest where none gains"
        ),
    )


def _threshold(ranks: Array, margin: float) -> Callable[[Sequence[Array]], Array]:
    """The smallest good rank; the highest of all where that rank's error is not below zero-shot's.

    A gain that is not there cannot level off: such resamples count against the claim.
    """

    def estimate(errors: Sequence[Array]) -> Array:
        of_ranks, zero_shot = np.stack(errors[:-1], axis=1), errors[-1]
        smallest = ranks[smallest_good_rank(of_ranks, margin)]
        return np.where(of_ranks.min(axis=1) < zero_shot, smallest, ranks[-1])

    return estimate


def _small_react_more(models: Sequence[Model]) -> Iterator[Claim]:
    for family, name in FAMILIES.items():
        own = sorted((model for model in models if model.family == family), key=lambda each: each.parameters)
        title = f"{name}: the smallest model gains more from rank than the largest"
        if len(own) < 2 or own[0].parameters == own[-1].parameters:
            yield Claim(7, title, f"fewer than two sizes of {name} in the study")
        elif min(len(own[0].ranks), len(own[-1].ranks)) < 2:
            yield Claim(7, title, "fewer than two ranks of lora")
        else:
            yield _reacts_more(title, own[0], own[-1])


def _reacts_more(title: str, small: Model, large: Model) -> Claim:
    count = len(small.ranks)
    of_small, of_large = (
        _slope([arm.summary.first.rank or 1 for arm in model.ranks]) for model in (small, large)
    )
    return Claim(
        7,
        f"{title}: {small.name} against {large.name}",
        "",
        [*small.ranks, *large.ranks],
        lambda errors: of_small(errors[:count]) - of_large(errors[count:]),
        below(0.0),
        lambda value: (
            f"a doubling of the rank changes {small.name}'s error by {100 * value:+.2f} percentage points "
            f"against {large.name}'s"
        ),
    )


def _slope(ranks: Sequence[int]) -> Callable[[Sequence[Array]], Array]:
    """Least-squares slope of the logarithm of the error over log2 of the rank: its relative change per doubling."""
    centred = np.log2(ranks) - np.mean(np.log2(ranks))
    weights = centred / (centred**2).sum()
    return lambda errors: np.tensordot(weights, np.log(np.stack(errors)), axes=1)


def _between(
    finding: int,
    title: str,
    models: Sequence[Model],
    arm: tuple[str, str],
    other: tuple[str, str],
    verdict: Verdict,
) -> Claim:
    """A family under one arm against a family under one arm: the ratio of their mean errors over models, less 1."""
    sides = [
        ([model for model in models if model.family == family], family, kind) for family, kind in (arm, other)
    ]
    missing = [_missing(own, family, kind) for own, family, kind in sides]
    if any(missing):
        return Claim(finding, title, next(filter(None, missing)))
    ours, theirs = (_arms(own, kind) for own, _, kind in sides)
    return Claim(
        finding,
        f"{title}: {_named(ours)} against {_named(theirs)}",
        "",
        [*ours, *theirs],
        lambda errors: np.mean(errors[: len(ours)], axis=0) / np.mean(errors[len(ours) :], axis=0) - 1,
        verdict,
        _difference(*(f"{FAMILIES[family]} {kind}" for _, family, kind in sides)),
    )


def _arms(models: Sequence[Model], kind: str) -> list[ResampledArm]:
    return [arm for model in models if (arm := model.arm(kind)) is not None]


def _missing(models: Sequence[Model], family: str, *kinds: str) -> str:
    """Why arms of these models are not there; empty where every model has them all."""
    if not models:
        return _none_of(FAMILIES[family])
    lacking = [kind for kind in kinds if len(_arms(models, kind)) < len(models)]
    return f"no arm {' and '.join(lacking)} in the study" if lacking else ""


def _none_of(name: str) -> str:
    return f"no such model of {name} in the study"


def _of_other_vitals(vital: str) -> str:
    return f"the paper says it of mean blood pressure and heart rate, not of {vital.replace('_', ' ')}"


def _named(arms: Sequence[ResampledArm]) -> str:
    return ", ".join(" ".join(arm.name) for arm in arms)


def _difference(ours: str, theirs: str) -> Callable[[float], str]:
    return lambda value: f"{ours} {100 * abs(value):.2f} % {'below' if value < 0 else 'above'} {theirs}"


def _row(subject: Subject, claim: Claim) -> FindingRow:
    first = subject.arms[0].summary.first
    value, low, high, verdict, reason = _judge(subject, claim)
    return FindingRow(
        finding=claim.finding,
        cohort=first.cohort,
        vital=first.vital,
        subject=claim.subject,
        metric=METRIC,
        found="" if value is None else claim.words(value),
        value=value,
        low=low,
        high=high,
        patients=subject.patients,
        seeds=min((len(arm.summary.runs) for arm in claim.arms), default=0),
        verdict=verdict,
        reason=reason,
    )


def _judge(subject: Subject, claim: Claim) -> tuple[float | None, float | None, float | None, str, str]:
    """Value, interval, verdict, and why there is no clear one."""
    if claim.missing:
        return None, None, None, NOT_TESTED, claim.missing
    place, parameters = RESAMPLED.index(METRIC), subject.parameters
    if undefined := next(filter(None, (arm.undefined(METRIC) for arm in claim.arms)), ""):
        return None, None, None, NOT_TESTED, subject.no_interval(METRIC, *claim.arms) or undefined
    errors = [np.append(arm.values[place], arm.replicates[:, place]) for arm in claim.arms]
    numbers = claim.estimate(errors)
    if reason := subject.no_interval(METRIC, *claim.arms):
        return float(numbers[0]), None, None, NOT_TESTED, reason
    tail = (1 - parameters.confidence) / 2
    # Ranks have nothing between them, so no quantile is interpolated.
    low, high = map(float, np.quantile(numbers[1:], [tail, 1 - tail], method="inverted_cdf"))
    seeds = min(
        (len(arm.summary.runs) for arm in claim.arms if arm.summary.first.training_steps is not None),
        default=None,
    )
    if seeds is not None and seeds < parameters.minimum_seeds:
        plural = "s" if seeds > 1 else ""
        reason = f"{seeds} seed{plural}: fewer than {parameters.minimum_seeds}, so training's chance is not covered"
        return float(numbers[0]), low, high, NOT_TESTED, reason
    verdict = claim.verdict(low, high)
    return float(numbers[0]), low, high, verdict, "the interval shows neither" if verdict == UNDECIDED else ""
