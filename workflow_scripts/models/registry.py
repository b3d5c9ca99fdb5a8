"""Every variant by name: its family, where its weights come from, and its sizes. No heavy imports here."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

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
    licence: str = "Apache-2.0"


def _t5(d_model: int, d_ff: int, num_layers: int, num_heads: int) -> dict[str, Any]:
    return {"d_model": d_model, "d_ff": d_ff, "num_layers": num_layers, "num_heads": num_heads}


def family_class(family: str) -> "type[ForecastModel]":
    """Import one family's module and return its class; the other families' libraries stay unimported."""
    module, _, name = FAMILY_CLASSES[family].partition(":")
    return getattr(import_module(module), name)
