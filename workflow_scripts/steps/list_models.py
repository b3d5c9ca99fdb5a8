"""The registry of models in the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import yaml
from typer import Option

from workflow_scripts.adaptation.adapting import plan
from workflow_scripts.adaptation.arms import ADAPTATION_METHODS, SCRATCH_ARMS, Arm
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.models.hub import LOCK, Pin, read_lock
from workflow_scripts.models.registry import SCRATCH_VARIANTS, VARIANTS, Variant, family_class, variant
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.step import run_step
from workflow_scripts.runtime.terminal import show, table

if TYPE_CHECKING:
    from rich.table import Table

    from workflow_scripts.models.interface import ForecastModel

RANKS = (1, 2, 4, 8, 16, 32, 64)
RELEASED_TRAINING = ("learning_rate", "batch_size", "epochs", "patience")
NOTES = f"""\
Limits are grid steps, or patches of context and horizon together. A revision marked ? is quoted from
elsewhere and was never compared with the hub; the first download pins it in {LOCK}.
Chronos-2 and MOIRAI 1.x also as NAME-multivariate: the same weights, other vital signs as covariates.
Models trained from scratch have the arms {" and ".join(map(str, SCRATCH_ARMS))}. Their parameters are
those at the context and horizon beside them; the last four columns are the study's training (docs/models.md).
One model, and the source of each fact: python -m workflow_scripts.steps.list_models --model NAME
What other arms train: python -m workflow_scripts.steps.list_models --arms dora-r2 --arms bitfit"""


def list_models(
    model: Annotated[
        str | None, Option(metavar="NAME", help="the whole entry of one variant, with its sources")
    ] = None,
    ranks: Annotated[
        list[int] | None,
        Option(help=f"a rank of LoRA, once for each (default: {', '.join(map(str, RANKS))})"),
    ] = None,
    arms: Annotated[
        list[str] | None,
        Option(
            metavar="ARM",
            help="what this arm trains, with the default settings of `adaptation`; once for each",
        ),
    ] = None,
) -> None:
    """List every model variant: parameters by arm, limits, licence, hub id and revision; or all about one of them.

    Example:
        python -m workflow_scripts.steps.list_models --model chronos-2
        python -m workflow_scripts.steps.list_models --arms dora-r2 --arms fourierft --arms bitfit
        python -m workflow_scripts.steps.list_models --arms fit
    """
    if arms:
        chosen = [_arm(name) for name in arms]
        show(arm_counts(chosen, [variant(model)] if model else _candidates(chosen)))
    elif model:
        show(describe(variant(model)))
    else:
        show(*overview(ranks or RANKS))


def overview(ranks: Sequence[int] = RANKS) -> "list[str | Table]":
    """What each model is, what each arm of it trains, the models that are trained from scratch, and notes."""
    licences = {entry.licence: entry.restriction for entry in VARIANTS.values() if entry.restriction}
    restrictions = [f"{licence}: {restriction}." for licence, restriction in licences.items()]
    return [_facts(), "", _counts(ranks), "", _scratch(), "", *restrictions, NOTES]


def _facts() -> "Table":
    pins = read_lock()
    rows = [
        (
            entry.name,
            entry.family,
            limit(entry, "context"),
            limit(entry, "horizon"),
            entry.licence,
            entry.hub_id or "embedded",
            _revision(entry, pins.get(entry.name)),
        )
        for entry in VARIANTS.values()
    ]
    return table(("model", "family", "context", "horizon", "licence", "hub id", "revision"), rows, (2, 3))


def _counts(ranks: Sequence[int]) -> "Table":
    headings = ("trainable parameters of", "zero-shot", "full = all", *(f"lora-r{rank}" for rank in ranks))
    rows = [
        (entry.name, "0", _count(entry), *(_count(entry, rank) for rank in ranks))
        for entry in VARIANTS.values()
    ]
    return table(headings, rows, range(1, len(headings)))


def _scratch() -> "Table":
    headings = ("trained from scratch", "family", "parameters", "context", "horizon", *RELEASED_TRAINING)
    rows = [
        (
            entry.name,
            entry.family,
            _count(entry),
            *(str(entry.counted_at[length]) for length in ("context", "horizon")),
            *(f"{entry.training[name]:g}" for name in RELEASED_TRAINING),
        )
        for entry in SCRATCH_VARIANTS.values()
    ]
    return table(headings, rows, range(2, len(headings)))


def arm_counts(arms: Sequence[Arm], variants: Sequence[Variant]) -> "Table":
    """What any arms train; counted on the architectures, for which no weight is made."""
    import torch

    rows = []
    for entry in variants:
        with torch.device("meta"):
            model = family_class(entry.family).create(entry.sizes | entry.counted_at, seed=0)
        rows.append((entry.name, *(_trainable(model, arm) for arm in arms)))
    headings = ("trainable parameters of", *(arm.name for arm in arms))
    return table(headings, rows, range(1, len(headings)))


def _trainable(model: "ForecastModel", arm: Arm) -> str:
    try:
        return f"{plan(model, arm, AdaptationParameters()).trainable:,}"
    except UserError:
        return "refused"


def _arm(name: str) -> Arm:
    try:
        return Arm.parse(name)
    except ValueError:
        raise UserError(
            "--arms",
            f"no such arm: {name}",
            ", ".join((*ADAPTATION_METHODS, *map(str, SCRATCH_ARMS))),
            "give ranked methods a rank, as lora-r2",
        ) from None


def _candidates(arms: Sequence[Arm]) -> list[Variant]:
    """The models that have at least one of these arms."""
    adapting = any(not arm.is_from_scratch for arm in arms)
    training = any(arm.is_from_scratch for arm in arms)
    return [*(VARIANTS.values() if adapting else ()), *(SCRATCH_VARIANTS.values() if training else ())]


def describe(entry: Variant) -> str:
    """Everything that is known of one variant, each fact with its source."""
    pin = read_lock().get(entry.weights_of)
    lines = [entry.name]
    for name, value in vars(entry).items():
        if name in ("name", "sources") or not value:
            continue
        source = entry.sources.get(name)
        text = yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
        lines += [f"  {name}: {text}", *([f"      {source}"] if source else [])]
    if entry.restriction:
        lines.append(f"  the licence restricts: {entry.restriction}")
    if entry.hub_id:
        lines.append(f"  pinned in {LOCK}: {pin.commit if pin else 'not yet; the first download does so'}")
    return "\n".join(lines)


def limit(entry: Variant, what: str) -> str:
    """The longest `context` or `horizon`, in words."""
    steps = entry.context_limit if what == "context" else entry.horizon_limit
    if steps is None and entry.token_limit:
        return f"{entry.token_limit} patches"
    return "any" if steps is None else f"{steps:,}"


def _revision(entry: Variant, pin: Pin | None) -> str:
    if entry.hub_id is None:
        return "in this repository"
    if pin:
        return f"{pin.commit[:7]} pinned"
    return f"{entry.revision[:7]} ?" if entry.revision else "none: the first download pins main"


def _count(entry: Variant, rank: int | None = None) -> str:
    number = entry.parameters if rank is None else entry.lora_parameters_per_rank
    return "unknown" if number is None else f"{number * (rank or 1):,}"


if __name__ == "__main__":
    run_step(list_models)
