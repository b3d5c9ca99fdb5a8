"""Methods that peft computes: an adapter around some modules of the base model."""

import copy
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from workflow_scripts.adaptation.hooks import TrainingHooks
from workflow_scripts.adaptation.method import Adaptation, Method, Plan
from workflow_scripts.runtime.parameters import Parameters

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import Tensor

    from workflow_scripts.models.interface import ForecastModel

PEFT_WEIGHTS = "adapter_model.safetensors"


class PeftMethod(Method, ABC):
    """Wraps the module by peft. A subclass plans, and gives peft's configuration."""

    is_adapter = True
    uses_peft = True

    @abstractmethod
    def config(self, asked: Adaptation, planned: Plan) -> "PeftConfig":
        """peft's configuration of the method."""

    def hooks(self, module: Any) -> TrainingHooks:  # noqa: ARG002
        """What the training loop must call. module: the wrapped one."""
        return TrainingHooks()

    def apply(self, asked: Adaptation, planned: Plan) -> TrainingHooks:
        """Put the adapter around the planned modules; the seed decides its first values, and nothing else."""
        import torch
        from peft import get_peft_model

        model, config = asked.model, self.config(asked, planned)
        with torch.random.fork_rng(devices=[]), quiet_peft():
            torch.manual_seed(asked.seed)
            model.module = get_peft_model(model.module, config)
        return self.hooks(model.module)

    def exported(self, module: Any, config: Any, state: "dict[str, Tensor]") -> "dict[str, Tensor]":  # noqa: ARG002
        """The tensors to store, as an adapter of the original base model. config: a copy, which may be changed."""
        return state

    def save(self, model: "ForecastModel", rank: int | None, folder: Path, base_name: str) -> dict[str, Any]:  # noqa: ARG002
        """As peft's `save_pretrained` does, but for the original base model, and without paths of this machine."""
        from peft import get_peft_model_state_dict

        from workflow_scripts.adaptation.tensors import write_tensors

        module: Any = model.module
        state = get_peft_model_state_dict(module, save_embedding_layers=False)
        config = copy.copy(module.peft_config["default"])
        # The base is named, not located: an absolute path would mean nothing on another machine.
        config.base_model_name_or_path, config.inference_mode = base_name, True
        write_tensors(self.exported(module, config, state), folder / PEFT_WEIGHTS)
        config.save_pretrained(str(folder))
        return {"base_parameters": _base_parameters(module)}

    def load(self, model: "ForecastModel", folder: Path, description: Mapping[str, Any]) -> None:
        """Wrap the module with the stored adapter.

        An adapter's own shapes need not tell whether it fits (FourierFT's coefficients fit a matrix of any size), so
        the number of the base model's parameters is compared too.
        """
        from peft import PeftModel, get_peft_model_state_dict

        from workflow_scripts.adaptation.tensors import read_tensors, require_equal_shapes

        found, trained_on = sum(w.numel() for w in model.module.parameters()), description["base_parameters"]
        if found != trained_on:
            raise ValueError(f"it was trained on a model of {trained_on} parameters, this one has {found}")
        saved = read_tensors(folder / PEFT_WEIGHTS)
        with quiet_peft():
            module = PeftModel.from_pretrained(model.module, str(folder))
        # peft passes over tensors that it finds no place for, such as those of a deeper model.
        require_equal_shapes(saved, get_peft_model_state_dict(module, save_embedding_layers=False))
        model.module = module

    def merge(self, model: "ForecastModel") -> None:
        """Add the update to the base weights."""
        model.module = model.module.merge_and_unload()


@dataclass(frozen=True)
class LinearLayer:
    """A linear map that an adapter is put around. is_feedforward: whether it is the last one of such a layer."""

    name: str
    weight: "Tensor"
    is_feedforward: bool

    @property
    def outputs(self) -> int:
        """Rows of the weight matrix."""
        return int(self.weight.shape[0])

    @property
    def inputs(self) -> int:
        """Columns of the weight matrix."""
        return int(self.weight.shape[1])

    def __str__(self) -> str:
        return f"{self.name} is a {self.outputs} x {self.inputs} matrix"


class LinearParameters(Parameters):
    """Settings that several methods share."""

    targets: Literal["attention", "all-linear"] = Field(
        "attention",
        description="what the low-rank methods and FourierFT change: the attention projections (the paper's "
        "choice), or every linear map of the blocks",
    )
    lora_alpha: float = Field(
        16,
        gt=0,
        description="scale of the low-rank update: alpha / rank (rsLoRA: alpha / sqrt(rank); AdaLoRA: alpha / "
        "initial rank)",
    )
    lora_dropout: float = Field(
        0.0, ge=0, lt=1, description="dropout before the first factor of the low-rank methods"
    )
    lora_initialisation: Literal["gaussian", "kaiming"] = Field(
        "gaussian", description="first factor of LoRA, rsLoRA and DoRA at the start; the second one is zero"
    )


class LinearAdapter(PeftMethod):
    """Changes linear maps. A subclass says how many numbers one map trains, and gives peft's configuration."""

    parameters: ClassVar[type[Parameters]] = LinearParameters

    def targets(self, asked: Adaptation) -> str:
        """The regular expression for the names of the linear maps."""
        model = asked.model
        return model.attention_targets if asked.parameters.targets == "attention" else model.linear_targets

    @abstractmethod
    def count(self, layer: LinearLayer, rank: int, parameters: Any) -> int:
        """How many numbers the adapter of one linear map trains. rank: 0 where the method has none."""

    def problem(self, layer: LinearLayer, rank: int, parameters: Any) -> str:  # noqa: ARG002
        """Why the layer's shape or weights do not allow the method; empty where they do."""
        return ""

    def plan(self, asked: Adaptation) -> Plan:
        """The linear maps among the targets."""
        layers, rank = self._layers(asked), asked.rank or 0
        for layer in layers:
            if problem := self.problem(layer, rank, asked.parameters):
                self.refuse(asked, problem)
        return Plan(
            modules=tuple(layer.name for layer in layers),
            trainable=sum(self.count(layer, rank, asked.parameters) for layer in layers),
        )

    def _layers(self, asked: Adaptation) -> list[LinearLayer]:
        from torch import nn

        model, pattern = asked.model, self.targets(asked)
        named = model.module.named_modules()
        found = {name: module for name, module in named if name and re.fullmatch(pattern, name)}
        if not found:
            self.refuse(asked, "this model has no layers of the kind that the method adapts")
        layers = []
        for name, module in found.items():
            if not isinstance(module, nn.Linear):
                kind = type(module).__name__
                self.refuse(asked, f"{name} is a {kind}, not a linear map with one weight matrix")
            feedforward = re.fullmatch(model.feedforward_targets, name) is not None
            layers.append(LinearLayer(name, module.weight, feedforward))
        return layers


class LowRankAdapter(LinearAdapter):
    """Adds a product of two factors to a linear map: LoRA, and what differs from it in little."""

    has_rank = True

    def first_rank(self, rank: int, parameters: Any) -> int:  # noqa: ARG002
        """The rank at the start of training."""
        return rank

    def count(self, layer: LinearLayer, rank: int, parameters: Any) -> int:  # noqa: ARG002
        """Both factors."""
        return rank * (layer.outputs + layer.inputs)

    def problem(self, layer: LinearLayer, rank: int, parameters: Any) -> str:
        """A rank above that of the matrix would be another arm's."""
        first = self.first_rank(rank, parameters)
        if first > min(layer.outputs, layer.inputs):
            return f"a rank of {first} is larger than the layer: {layer}"
        return ""

    def lora_options(self) -> dict[str, Any]:
        """What a method gives `peft.LoraConfig` in place of, or beside, the defaults; nothing for LoRA itself."""
        return {}

    def config(self, asked: Adaptation, planned: Plan) -> "PeftConfig":  # noqa: ARG002
        """peft's LoRA, as the method varies it."""
        from peft import LoraConfig

        parameters = asked.parameters
        defaults = {
            "r": asked.rank,
            "target_modules": self.targets(asked),
            "lora_alpha": parameters.lora_alpha,
            "lora_dropout": parameters.lora_dropout,
            "init_lora_weights": parameters.lora_initialisation == "kaiming" or "gaussian",
        }
        return LoraConfig(**(defaults | self.lora_options()))


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Without two warnings that mean nothing here.

    peft does not know the width of a normalisation, and does not need it; and it looks at an attribute that
    transformers is about to rename.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Unsupported layer type")
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        yield


def _base_parameters(module: Any) -> int:
    """Parameters of the base model inside an adapted one: all that are frozen, but for AdaLoRA's rank counts."""
    named = module.named_parameters()
    return sum(w.numel() for name, w in named if not w.requires_grad and ".ranknum." not in name)
