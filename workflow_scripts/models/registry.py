"""Every variant by name: its family, where its weights come from, and its sizes. No heavy imports here."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from workflow_scripts.runtime.errors import UserError

if TYPE_CHECKING:
    from workflow_scripts.models.interface import ForecastModel

FAMILY_CLASSES = {
    "chronos": "workflow_scripts.models.chronos:Chronos",
    "moirai": "workflow_scripts.models.moirai:Moirai",
    "lag-llama": "workflow_scripts.models.lag_llama:LagLlama",
}
"""Family -> module and class. A new family is one file and one line here."""


@dataclass(frozen=True)
class Variant:
    """One published (or embedded) size of a family."""

    name: str
    family: str
    sizes: dict[str, Any]
    """What the family's `create` needs to build the architecture with random weights."""
    hub_id: str | None = None
    """None: embedded, pre-trained by this project's own `pretrain` rule."""
    revision: str | None = None
    """Commit on the hub, as seen in public code and *not verified*; None: not established."""
    licence: str = "Apache-2.0"


def _t5(d_model: int, d_ff: int, num_layers: int, num_heads: int, d_kv: int = 64) -> dict[str, Any]:
    return {
        "d_model": d_model,
        "d_ff": d_ff,
        "num_layers": num_layers,
        "num_heads": num_heads,
        "d_kv": d_kv,
    }


def _chronos(size: str, revision: str | None, sizes: dict[str, Any]) -> Variant:
    name = f"chronos-t5-{size}"
    return Variant(name, "chronos", sizes, hub_id=f"amazon/{name}", revision=revision)


def _moirai(version: str, size: str, revision: str | None, licence: str) -> Variant:
    d_model, num_layers = {"small": (384, 6), "base": (768, 12), "large": (1024, 24)}[size]
    name = f"moirai-{version}-R-{size}"
    sizes = {"d_model": d_model, "num_layers": num_layers, "patch_sizes": [8, 16, 32, 64, 128]}
    return Variant(name, "moirai", sizes, hub_id=f"Salesforce/{name}", revision=revision, licence=licence)


_MOIRAI_1_0_LICENCE = "to be checked before use (CC-BY-NC-4.0 for the later versions)"
_MOIRAI_1_1_LICENCE = "CC-BY-NC-4.0"

# A quarter of the bins, as fine as the published ones, over a narrower axis: four times a context's mean.
_NANO_CHRONOS = {"vocab_size": 1024, "bin_limit": 4.0, "dropout_rate": 0.0, "initializer_factor": 1.0}

# Sizes: the published configuration files, as quoted in the families' papers and repositories.
_ALL = (
    Variant("chronos-t5-nano", "chronos", {**_t5(64, 256, 2, 4, d_kv=16), **_NANO_CHRONOS}),
    _chronos("tiny", "a4a27cf5c9a8b21a2bb935eef158344dc10ff9df", _t5(256, 1024, 4, 4)),
    _chronos("mini", "bd6a4fde8403b8469acd0abd52852b29dbe61c7b", _t5(384, 1536, 4, 8)),
    _chronos("small", None, _t5(512, 2048, 6, 8)),
    _chronos("base", None, _t5(768, 3072, 12, 12)),
    _chronos("large", "0e46c9c7e2e9f74b53db0617fdfcfe42a413e54a", _t5(1024, 4096, 24, 16)),
    Variant("moirai-nano", "moirai", {"d_model": 128, "num_layers": 2, "patch_sizes": [8]}),
    _moirai("1.0", "small", "f5bd5d01f0d67de856107d43abdd637380aae0a3", _MOIRAI_1_0_LICENCE),
    _moirai("1.0", "base", "4fa939a8800d9da346c0280f3d9aeba0d2d35877", _MOIRAI_1_0_LICENCE),
    _moirai("1.0", "large", "b6b84e3fbeb9e6927d4271d625441fb51ab6bbd8", _MOIRAI_1_0_LICENCE),
    _moirai("1.1", "small", "0c24ab99db2c1a70ea2a0fc03bf113329772ac64", _MOIRAI_1_1_LICENCE),
    _moirai("1.1", "base", None, _MOIRAI_1_1_LICENCE),
    _moirai("1.1", "large", None, _MOIRAI_1_1_LICENCE),
    Variant(
        "lag-llama-nano",
        "lag-llama",
        {"n_layer": 2, "n_head": 4, "n_embd_per_head": 16, "context_length": 24, "missing_as": "location"},
    ),
    Variant(
        "lag-llama",
        "lag-llama",
        {"n_layer": 8, "n_head": 9, "n_embd_per_head": 16, "context_length": 32},
        hub_id="time-series-foundation-models/Lag-Llama",
        revision="72dcfc29da106acfe38250a60f4ae29d1e56a3d9",
    ),
)

VARIANTS: dict[str, Variant] = {entry.name: entry for entry in _ALL}
"""Name -> variant, embedded ones first within each family."""


NAIVE_MODELS = ("persistence", "mean-of-context")
"""The references of models/naive.py: the last observed value, and the mean of the observed context."""


def variant(name: str) -> Variant:
    """The variant of that name. Raises UserError that lists the names there are."""
    if name not in VARIANTS:
        raise UserError(
            "models", f"unknown model {name!r}", ", ".join(variant_names()), "choose one of these names"
        )
    return VARIANTS[name]


def variant_names() -> list[str]:
    """Every name, in the table's order."""
    return list(VARIANTS)


def family_module(family: str) -> str:
    """The name of the one module that knows a family's library."""
    return FAMILY_CLASSES[family].partition(":")[0]


def family_class(family: str) -> "type[ForecastModel]":
    """Import one family's module and return its class; the other families' libraries stay unimported."""
    return getattr(import_module(family_module(family)), FAMILY_CLASSES[family].partition(":")[2])
