"""Every variant by name, as variants.yaml lists them. Light to import: no torch, no libraries of models."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from workflow_scripts.models.baselines import BASELINES
from workflow_scripts.runtime.errors import UserError

if TYPE_CHECKING:
    from workflow_scripts.models.interface import ForecastModel


Kind = Literal["foundation", "scratch", "baseline"]
"""A forecaster with base weights; trained here from a random start; or one that learns from no patient."""


@dataclass(frozen=True)
class Variant:
    """One size of a family. variants.yaml says what each field means and where its value was read."""

    name: str
    family: str
    sizes: dict[str, Any]
    """What the family's `create` needs to build the architecture with random weights."""
    label: str = ""
    """Its name in the report."""
    hub_id: str | None = None
    """None: embedded, made by this project's own `pretrain` rule."""
    revision: str | None = None
    """Commit on the hub, as quoted elsewhere and *not verified*; None: not established."""
    checkpoint: str | None = None
    """The pickle on the hub that is converted once; None: the hub has safetensors with their configuration."""
    package: str | None = None
    """The Python package whose installed files hold the weights; None: no package does."""
    package_sha256: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each of those files, by name."""
    licence: str = "Apache-2.0"
    context_limit: int | None = None
    horizon_limit: int | None = None
    token_limit: int | None = None
    """Patches of context and horizon together."""
    patch_sizes: list[int] | None = None
    lora_targets: str = ""
    parameters: int | None = None
    stored_constants: int = 0
    """Values in the weights' file that are no parameters."""
    lora_parameters_per_rank: int | None = None
    point_forecast: bool = False
    """Whether every quantile is the same value, so that intervals mean nothing."""
    takes_covariates: bool = False
    """Whether there is a variant of it that looks at other vital signs too, with the same weights."""
    multivariate: bool = False
    """Whether this is that variant."""
    from_scratch: bool = False
    """Whether it has no base weights: it is trained from a random start for one context and one horizon."""
    counted_at: dict[str, int] = field(default_factory=dict)
    """The context and horizon at which a model trained from scratch has so many `parameters`; else empty."""
    training: dict[str, float] = field(default_factory=dict)
    """How the authors' released model was trained (training/released.py); empty: nothing is trained from scratch."""
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def weights_of(self) -> str:
        """The variant whose base weights these are: its own name, but for a multivariate one."""
        return self.name.removesuffix(MULTIVARIATE) if self.multivariate else self.name

    @property
    def stand_in(self) -> bool:
        """Whether its weights, made by this project, only stand in for published ones."""
        return self.hub_id is None and not self.from_scratch

    @property
    def restriction(self) -> str | None:
        """What the licence of the weights restricts, or None."""
        return _TABLE["restrictions"].get(self.licence)


MULTIVARIATE = "-multivariate"
"""What ends the name of a variant that looks at other vital signs too."""

_PATH = Path(__file__).with_name("variants.yaml")
_TABLE = yaml.load(_PATH.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))

FAMILY_CLASSES: dict[str, str] = {name: entry["class"] for name, entry in _TABLE["families"].items()}
"""Family -> module and class."""

FAMILY_MARKS: dict[str, str] = {name: entry["mark"] for name, entry in _TABLE["families"].items()}
"""Family -> the key of config.json by which a folder is known, nested keys joined by dots; first fit wins."""


def _read(name: str, entry: dict[str, Any]) -> Variant:
    family = _TABLE["families"][entry["family"]]
    sizes = entry["sizes"]
    patches = sizes.get("patch_sizes") or ([sizes["patch_size"]] if "patch_size" in sizes else None)
    merged = {"patch_sizes": patches, "label": name} | family | entry
    merged["sources"] = family["sources"] | entry.get("sources", {})
    known = {known.name for known in fields(Variant)}
    return Variant(name=name, **{key: value for key, value in merged.items() if key in known})


_LISTED: dict[str, Variant] = {name: _read(name, entry) for name, entry in _TABLE["variants"].items()}

VARIANTS: dict[str, Variant] = {name: entry for name, entry in _LISTED.items() if not entry.from_scratch}
"""Name -> variant of those that have base weights, the embedded ones first."""

SCRATCH_VARIANTS: dict[str, Variant] = {name: entry for name, entry in _LISTED.items() if entry.from_scratch}
"""Name -> variant of those that are trained from scratch."""

STAND_INS: list[str] = [name for name, entry in VARIANTS.items() if entry.stand_in]
"""The models whose weights this project made: they are in weights/embedded, or `pretrain` makes them."""

MULTIVARIATE_VARIANTS: dict[str, Variant] = {
    name + MULTIVARIATE: replace(
        entry,
        name=name + MULTIVARIATE,
        label=f"{entry.label}, with other vital signs",
        multivariate=True,
    )
    for name, entry in VARIANTS.items()
    if entry.takes_covariates
}
"""Name -> variant of those that look at other vital signs too, with the weights of another variant."""

MODELS: dict[str, Variant] = {**VARIANTS, **MULTIVARIATE_VARIANTS, **SCRATCH_VARIANTS}
"""Name -> variant of everything that a study may name as a model."""


BASELINE_FAMILY = "baseline"
"""The family of all baselines, in records and tables."""

FEWEST_PATCHES = 8
"""MOIRAI 1.x cuts a context into at least so many patches, where its smallest patch allows it."""


def variant(name: str) -> Variant:
    """The variant of that name. Raises UserError that lists the known names."""
    if name not in MODELS:
        raise UserError("models", f"unknown model {name!r}", ", ".join(MODELS), "choose one of these names")
    return MODELS[name]


def require_accepted_licence(chosen: Variant, accepted: str | None) -> None:
    """Raise UserError where weights are to be handed on whose licence restricts their use, and nobody named it."""
    if chosen.restriction and accepted != chosen.licence:
        raise UserError(
            f"weights of {chosen.name}",
            f"the licence {chosen.licence}: {chosen.restriction}"
            + (f"; accepted was {accepted}" if accepted else ""),
            "its name, as a sign that it is known, before weights that contain them are written",
            f"add --accept-licence {chosen.licence}, or adapt a model without such a restriction",
        )


def variant_names() -> list[str]:
    """The name of every model that has base weights, in the table's order."""
    return list(VARIANTS)


def family_of(name: str) -> str:
    """The family of a model or a baseline."""
    return MODELS[name].family if name in MODELS else BASELINE_FAMILY


def kind_of(name: str) -> Kind:
    """What a forecaster learns from; a name that is not known here counts as a foundation model."""
    if name in BASELINES:
        return "baseline"
    return "scratch" if name in SCRATCH_VARIANTS else "foundation"


def label_of(name: str) -> str:
    """The name of a model or a baseline in the report; a name that is not known here stays as it is."""
    if name in BASELINES:
        return BASELINES[name].label
    return MODELS[name].label if name in MODELS else name


def is_stand_in(name: str) -> bool:
    """Whether a model's weights only stand in for published ones; never true of a baseline."""
    return name in MODELS and MODELS[name].stand_in


def is_point_forecast(name: str) -> bool:
    """Whether a model, a family of models or a baseline gives one value a step, so that its intervals mean nothing.

    A name that is not known here counts as a forecast with intervals.
    """
    if name in BASELINES:
        return BASELINES[name].point_forecast
    if name in MODELS:
        return MODELS[name].point_forecast
    return bool(_TABLE["families"].get(name, {}).get("point_forecast", False))


def family_module(family: str) -> str:
    """The name of the one module that knows a family's library."""
    return FAMILY_CLASSES[family].partition(":")[0]


def family_class(family: str) -> "type[ForecastModel]":
    """Import one family's module and return its class; the other families' libraries stay unimported."""
    return getattr(import_module(family_module(family)), FAMILY_CLASSES[family].partition(":")[2])


def check_geometry(variant: Variant, context: int, horizon: int, covariates: int = 0) -> None:
    """Raise UserError where a context or a horizon (grid steps) is longer than the model allows.

    covariates: other vital signs beside the own one, which take as many patches of their context.
    """
    for name, length, limit in (
        ("context", context, variant.context_limit),
        ("horizon", horizon, variant.horizon_limit),
    ):
        if limit is not None and length > limit:
            raise UserError(
                f"windows.{name}, with model {variant.name}",
                f"{length} steps",
                f"at most {limit} steps ({variant.sources[f'{name}_limit']})",
                f"choose a shorter {name}, or a model that `python -m workflow_scripts.steps.list_models` "
                "shows with a larger limit",
            )
    if variant.token_limit is None or not variant.patch_sizes:
        return
    patch = patch_size(variant.patch_sizes, context)
    series = 1 + covariates if variant.multivariate else 1
    patches = series * ceil(context / patch) + ceil(horizon / patch)
    if patches > variant.token_limit:
        raise UserError(
            f"windows.context and windows.horizon, with model {variant.name}",
            f"{context} + {horizon} steps{f' of {series} series' if series > 1 else ''}, which are {patches} patches "
            f"of {patch}",
            f"at most {variant.token_limit} patches ({variant.sources['token_limit']})",
            f"choose a shorter context or horizon{', or fewer covariates' if series > 1 else ''}",
        )


def check_covariates(variant: Variant, covariates: Sequence[str]) -> None:
    """Raise UserError where a model that looks at other vital signs is given none; all others ignore them."""
    if variant.multivariate and not covariates:
        raise UserError(
            f"windows.covariates, with model {variant.name}",
            "no other vital sign",
            "at least one vital sign beside the one that is forecast",
            f"name some in windows.covariates, or choose {variant.weights_of}",
        )


def patch_size(sizes: list[int], context: int) -> int:
    """The largest patch size that cuts `context` steps into at least FEWEST_PATCHES patches."""
    return max((size for size in sizes if size * FEWEST_PATCHES <= context), default=min(sizes))
