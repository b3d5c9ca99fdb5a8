"""PiSSA (Meng et al. 2024, arXiv 2404.02948): LoRA that starts with the leading singular vectors of the weight."""

from typing import TYPE_CHECKING, Any

from workflow_scripts.adaptation.hooks import TrainingHooks
from workflow_scripts.adaptation.peft_adapters import LowRankAdapter

if TYPE_CHECKING:
    from torch import Tensor


class Pissa(LowRankAdapter):
    """As many numbers as LoRA; the frozen weight loses what the factors start with.

    It is stored as a LoRA of twice the rank, which fits the original weight.
    """

    name = "pissa"
    label = "PiSSA"

    def lora_options(self) -> dict[str, Any]:
        """peft's initialisation."""
        return {"init_lora_weights": "pissa"}

    def hooks(self, module: Any) -> TrainingHooks:
        """Note what the base weights lost: the stored adapter gives it back."""
        from peft import get_peft_model_state_dict

        start = get_peft_model_state_dict(module, save_embedding_layers=False)
        module.pissa_start = {name: factor.detach().clone() for name, factor in start.items()}
        return TrainingHooks()

    def exported(self, module: Any, config: Any, state: "dict[str, Tensor]") -> "dict[str, Tensor]":
        """W - B0 A0 + B A = W + [B, -B0] [A; A0]; alpha doubles with the rank, so that their ratio stays.

        (peft's `LoraModel.subtract_mutated_init` is the same sum.)
        """
        import torch

        config.init_lora_weights, config.r, config.lora_alpha = True, 2 * config.r, 2 * config.lora_alpha
        start = {name: factor.to(state[name].device) for name, factor in module.pissa_start.items()}
        return {
            name: torch.cat((factor, start[name]))
            if ".lora_A." in name
            else torch.cat((factor, -start[name]), dim=1)
            for name, factor in state.items()
        }


METHOD = Pissa()
