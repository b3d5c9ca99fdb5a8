"""LayerNorm tuning (Zhao et al. 2023, arXiv 2312.11420)."""

import re
from typing import TYPE_CHECKING, Any

from workflow_scripts.adaptation.method import Adaptation, Plan, count_numbers
from workflow_scripts.adaptation.peft_adapters import PeftMethod
from workflow_scripts.adaptation.selection import NOTHING_MATCHES, matching_parameters

if TYPE_CHECKING:
    from peft import PeftConfig

    from workflow_scripts.models.interface import ForecastModel


class LayerNorm(PeftMethod):
    """The gains of all normalisations train."""

    name = "layernorm"
    label = "layer norms only"

    def plan(self, asked: Adaptation) -> Plan:
        """The modules that hold the gains. Raises UserError where there are none."""
        gains = matching_parameters(asked.model, asked.model.norm_parameters)
        if not gains:
            self.refuse(asked, NOTHING_MATCHES)
        modules = dict.fromkeys(name.rpartition(".")[0] for name in gains)
        return Plan(modules=tuple(modules), trainable=count_numbers(gains))

    def config(self, asked: Adaptation, planned: Plan) -> "PeftConfig":  # noqa: ARG002
        """The planned modules by their full names."""
        from peft import LNTuningConfig

        return LNTuningConfig(target_modules="|".join(map(re.escape, planned.modules)))

    def merge(self, model: "ForecastModel") -> None:
        """Put the trained normalisations in the place of the base model's own.

        peft's own merge wants gains to be called `weight`.
        """
        from peft.tuners.ln_tuning.layer import LNTuningLayer

        module: Any = model.module
        base = module.get_base_model()
        wrapped = [(name, layer) for name, layer in base.named_modules() if isinstance(layer, LNTuningLayer)]
        for name, layer in wrapped:
            parent, _, leaf = name.rpartition(".")
            setattr(base.get_submodule(parent), leaf, layer.ln_tuning_layers["default"])
        del base.peft_config
        model.module = base


METHOD = LayerNorm()
