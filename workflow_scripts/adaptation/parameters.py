"""Settings of the adaptation methods."""

from workflow_scripts.adaptation.methods import METHODS
from workflow_scripts.adaptation.peft_adapters import LinearParameters
from workflow_scripts.runtime.parameters import Parameters

_OF_METHODS = dict.fromkeys(method.parameters for method in METHODS.values())
_OWN = tuple(group for group in reversed(_OF_METHODS) if group not in (Parameters, LinearParameters))


class AdaptationParameters(*_OWN, LinearParameters):  # type: ignore[misc]
    """How each method is set; docs/methods.md says what each one trains.

    The fields are those that the methods define. The defaults are the paper's LoRA (arXiv 2405.10216):
    W' = W + (alpha / rank) B A on all attention projections, A Gaussian, B zero.
    """
