"""What the paper's seven findings claim of one cohort and vital sign, and of which arms. docs/findings.md explains.

Every number is an array of 1 + resamples: the value on the data, then its replicates, so that one formula serves both.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.comparison import ROUNDING
from workflow_scripts.evaluation.names import model_name, vital_name
from workflow_scripts.evaluation.paper_models import (
    FAMILIES,
    KINDS,
    Model,
    arms_of,
    missing_arms,
    models_of,
    none_of,
)
from workflow_scripts.evaluation.rank_threshold import NO_GAIN, gains, smallest_good_rank
from workflow_scripts.evaluation.resampled_task import ResampledArm, ResampledTask
from workflow_scripts.evaluation.summary import PER_DOUBLING, RANK, RELATIVE

METRIC = "mse"
MEAN_BLOOD_PRESSURE = ("mean_blood_pressure", "mean_blood_pressure_derived")
"""As it is charted, and as the paper derives it from systolic and diastolic."""

Array = NDArray[np.float64]
Excess = Callable[[Array], Array]


@dataclass(frozen=True)
class Claim:
    """One statement of the paper. missing: why it cannot be tested at all; then the rest is empty.

    title: the statement; arms, against: what it compares; estimate: of the errors [1 + resamples] of the arms, then of
    those against which they are held; excess: by how much numbers miss the claim, below 0 where they hold it; words:
    what the value means; vacuous: why these data say nothing about it, though the arms are present; measure: what the
    estimate is (summary.FindingRow).
    """

    finding: int
    title: str
    missing: str = ""
    arms: Sequence[ResampledArm] = ()
    against: Sequence[ResampledArm] = ()
    estimate: Callable[[Sequence[Array]], Array] = lambda errors: errors[0]
    excess: Excess = lambda numbers: numbers
    words: Callable[[float], str] = str
    vacuous: str = ""
    measure: str = RELATIVE

    @property
    def compared(self) -> list[ResampledArm]:
        """All arms, in the order of the errors that `estimate` takes."""
        return [*self.arms, *self.against]


def claims(task: ResampledTask) -> list[Claim]:
    """Every finding as it reads for one cohort and vital sign; each has at least one claim."""
    vital = task.arms[0].summary.first.vital
    models = models_of(task)
    margins = task.parameters.rank_margin, task.parameters.close_margin
    scratch = [arm for arm in task.arms if arm.summary.arm.is_from_scratch]
    return [
        *_zero_shot(models),
        *_lora_improves(models),
        *_lag_llama(models, vital),
        *_moirai(models, margins[1]),
        *_chronos(models, margins[0]),
        *_from_scratch(models, scratch, vital, margins[1]),
        *_levels_off(models, margins[0]),
        *_small_react_more(models),
    ]


def below(limit: float) -> Excess:
    """The claim that a number is below a limit."""
    return lambda numbers: numbers - limit


def above(limit: float) -> Excess:
    """The claim that a number is above a limit."""
    return lambda numbers: limit - numbers


def within(limit: float) -> Excess:
    """The claim that a number is nearer to 0 than a limit."""
    return lambda numbers: np.abs(numbers) - limit


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
    if vital in MEAN_BLOOD_PRESSURE:
        yield _between(3, "Lag-Llama: full fine-tuning better than LoRA", models, lora, full, above(0.0))
    elif vital == "heart_rate":
        yield _between(3, "Lag-Llama: LoRA better than full fine-tuning", models, lora, full, below(0.0))
    else:
        yield Claim(3, "Lag-Llama: LoRA against full fine-tuning", _of_other_vitals(vital))


def _moirai(models: Sequence[Model], margin: float) -> Iterator[Claim]:
    own = [model for model in models if model.family == "moirai"]
    base, large = ([model for model in own if model.name.endswith(size)] for size in ("-base", "-large"))
    others = [model for model in own if model not in (*base, *large)]
    yield _full_is_best(others)
    title = f"MOIRAI: LoRA within {margin:.0%} of full fine-tuning"
    yield _between(4, title, others, ("moirai", "lora"), ("moirai", "full"), within(margin))
    for size, found in (("base", base), ("large", large)):
        title = f"MOIRAI {size}: full fine-tuning worse than zero-shot"
        yield _between(4, title, found, ("moirai", "full"), ("moirai", "zero-shot"), above(0.0))


def _full_is_best(models: Sequence[Model]) -> Claim:
    title = "MOIRAI: full fine-tuning better than both LoRA and zero-shot"
    missing = missing_arms(models, "moirai", "full", "lora", "zero-shot")
    if missing:
        return Claim(4, title, missing)

    def estimate(errors: Sequence[Array]) -> Array:
        full, lora, zero_shot = (np.mean(part, axis=0) for part in np.split(np.stack(errors), 3))
        return full / np.minimum(lora, zero_shot) - 1

    full, lora, zero_shot = (arms_of(models, kind) for kind in ("full", "lora", "zero-shot"))
    words = _difference("the error of full fine-tuning", "that of the better of both")
    return Claim(4, title, "", full, [*lora, *zero_shot], estimate, below(0.0), words)


def _chronos(models: Sequence[Model], margin: float) -> Iterator[Claim]:
    title = f"Chronos: LoRA better than full fine-tuning, or equal within {margin:.0%}"
    yield _between(5, title, models, ("chronos", "lora"), ("chronos", "full"), below(margin))


def _from_scratch(
    models: Sequence[Model], scratch: Sequence[ResampledArm], vital: str, margin: float
) -> Iterator[Claim]:
    """The best from scratch is that of each resample: chosen in its own favour, so against the claim."""
    beats = vital == "heart_rate"
    if not beats and vital not in MEAN_BLOOD_PRESSURE:
        yield Claim(6, "LoRA Chronos against models from scratch", _of_other_vitals(vital))
        return
    wanted = "chronos-t5-small" if beats else "chronos-t5-tiny"
    chronos = sorted(
        (model for model in models if model.family == "chronos"), key=lambda each: each.parameters
    )
    model = next((model for model in chronos if model.name == wanted), chronos[0] if chronos else None)
    instead = ""
    if model and model.name != wanted:
        instead = f" (in place of {model_name(wanted)}, which is not in the study)"
    named = model_name(model.name if model else wanted)
    title = (
        f"LoRA on {named}{instead} {'beats' if beats else f'within {margin:.0%} of'} the best from scratch"
    )
    missing = missing_arms([model] if model else [], "chronos", "lora")
    if not missing and not scratch:
        missing = "no model from scratch in the study"
    if missing or model is None or model.lora is None:
        yield Claim(6, title, missing)
        return
    yield Claim(
        6,
        title,
        "",
        [model.lora],
        scratch,
        lambda errors: errors[0] / np.min(errors[1:], axis=0) - 1,
        below(0.0 if beats else margin),
        _difference("the error of LoRA", "that of the best from scratch"),
    )


def _levels_off(models: Sequence[Model], margin: float) -> Iterator[Claim]:
    own = [model for model in models if model.family in FAMILIES]
    yield from (_model_levels_off(model, margin) for model in own)
    if not own:
        yield Claim(7, "the gain of LoRA levels off with rank", none_of("the paper's families"))


def _model_levels_off(model: Model, margin: float) -> Claim:
    title = f"{model_name(model.name)}: the gain of LoRA levels off below the highest rank"
    zero_shot = model.arm("zero-shot")
    if len(model.ranks) < 2 or zero_shot is None:
        return Claim(7, title, "fewer than two ranks of LoRA, or no zero-shot arm")
    ranks = np.array([arm.summary.first.rank for arm in model.ranks], dtype=np.float64)

    return Claim(
        7,
        f"{title} ({ranks[-1]:g})",
        "",
        model.ranks,
        [zero_shot],
        _threshold(ranks, margin),
        lambda numbers: np.where(numbers < ranks[-1], -1.0, 1.0),
        lambda rank: f"rank {rank:g}: the smallest within {margin:.0%} of the best",
        _no_gain([model]),
        RANK,
    )


def _threshold(ranks: Array, margin: float) -> Callable[[Sequence[Array]], Array]:
    """The smallest good rank; the highest of all where that rank's error is not below zero-shot's.

    A gain that is not there cannot level off: such resamples count against the claim. Where the data themselves show
    none, the claim is vacuous.
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
            yield Claim(7, title, "fewer than two ranks of LoRA")
        else:
            yield _reacts_more(title, own[0], own[-1])


def _reacts_more(title: str, small: Model, large: Model) -> Claim:
    count = len(small.ranks)
    of_small, of_large = (
        _slope([arm.summary.first.rank or 1 for arm in model.ranks]) for model in (small, large)
    )
    return Claim(
        7,
        title,
        "",
        small.ranks,
        large.ranks,
        lambda errors: of_small(errors[:count]) - of_large(errors[count:]),
        below(0.0),
        lambda value: (
            f"a doubling of the rank changes the error of {model_name(small.name)} by {100 * value:+.2f} percentage "
            f"points against that of {model_name(large.name)}"
        ),
        _no_gain([small, large]),
        PER_DOUBLING,
    )


def _no_gain(models: Sequence[Model]) -> str:
    """Says that no rank of any of these models is better than zero-shot; empty where one is, or that is not known."""
    for model in models:
        zero_shot = model.arm("zero-shot")
        errors = [arm.value(METRIC) for arm in [*model.ranks, *([zero_shot] if zero_shot else [])]]
        known = [error for error in errors if error is not None]
        if zero_shot is None or len(known) < len(errors) or gains(known[:-1], known[-1]):
            return ""
    return NO_GAIN


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
    excess: Excess,
) -> Claim:
    """A family under one arm against a family under one arm: the ratio of their mean errors over models, less 1."""
    sides = [
        ([model for model in models if model.family == family], family, kind) for family, kind in (arm, other)
    ]
    missing = [missing_arms(own, family, kind) for own, family, kind in sides]
    if any(missing):
        return Claim(finding, title, next(filter(None, missing)))
    ours, theirs = (arms_of(own, kind) for own, _, kind in sides)
    return Claim(
        finding,
        title,
        "",
        ours,
        theirs,
        lambda errors: np.mean(errors[: len(ours)], axis=0) / np.mean(errors[len(ours) :], axis=0) - 1,
        excess,
        _difference(*(f"{FAMILIES[family]} {KINDS[kind]}" for _, family, kind in sides)),
    )


def _of_other_vitals(vital: str) -> str:
    return f"the paper says it of mean blood pressure and heart rate, not of {vital_name(vital)}"


def _difference(ours: str, theirs: str) -> Callable[[float], str]:
    def words(value: float) -> str:
        if abs(value) <= ROUNDING:
            return f"{ours} the same as {theirs}"
        size = f"{100 * abs(value):.2f}"
        shown = size if float(size) else "less than 0.01"
        return f"{ours} {shown} % {'below' if value < 0 else 'above'} {theirs}"

    return words
