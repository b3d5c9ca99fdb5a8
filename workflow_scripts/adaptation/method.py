"""What every method of adaptation says and does; one module of `methods/` defines each of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn

from workflow_scripts.adaptation.hooks import TrainingHooks
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from workflow_scripts.models.interface import ForecastModel


@dataclass(frozen=True)
class Plan:
    """What an arm trains.

    modules: names of the modules that an adapter is put around.
    parameters: names of the base model's own parameters that train.
    trainable: how many numbers train, in closed form.
    """

    modules: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    trainable: int = 0


@dataclass(frozen=True)
class Adaptation:
    """What a method is asked to do to a base model.

    rank: None where the method has none. parameters: settings of `adaptation`. steps: of the training that follows.
    """

    model: "ForecastModel"
    rank: int | None
    parameters: Any
    seed: int = 0
    steps: int | None = None


class Method:
    """One method. This class trains nothing; subclasses say what trains, and how it is stored.

    Every method of this class may raise UserError (see `refuse`) where a model cannot be adapted as asked.
    """

    name: ClassVar[str]
    """As params.yaml, paths and tables name it; with a rank, the arm is called <name>-r<rank>."""
    label: ClassVar[str]
    """As the report names it."""
    has_rank: ClassVar[bool] = False
    trains: ClassVar[bool] = True
    is_adapter: ClassVar[bool] = False
    """Whether it is parameter-efficient: what it learned is a small folder beside the base weights."""
    uses_peft: ClassVar[bool] = False
    model_kind: ClassVar[Literal["foundation", "from scratch", "baseline"]] = "foundation"
    """Which models have it: those with base weights, those trained from a random start, or baselines."""
    forecasts_quantiles: ClassVar[bool] = False
    """Whether its loss makes a model that forecasts a point give quantiles."""
    parameters: ClassVar[type[Parameters]] = Parameters
    """Its settings; their names in params.yaml are those of `adaptation`."""

    def arm_name(self, rank: int | None) -> str:
        """The arm's name in paths and tables: `full`, `lora-r4`."""
        return self.name if rank is None else f"{self.name}-r{rank}"

    def plan(self, asked: Adaptation) -> Plan:  # noqa: ARG002
        """Find what trains, from names and shapes; the weights may be on torch's meta device."""
        return Plan()

    def apply(self, asked: Adaptation, planned: Plan) -> TrainingHooks:  # noqa: ARG002
        """Change the base model so that exactly what was planned trains; return what the training loop must call."""
        asked.model.module.requires_grad_(False)
        return TrainingHooks()

    def save(self, model: "ForecastModel", rank: int | None, folder: Path, base_name: str) -> dict[str, Any]:  # noqa: ARG002
        """Write what was learned; return what arm.json must say of it beside the arm and the base model."""
        raise TypeError(f"{self.name} learns nothing, so nothing of it is stored")

    def load(self, model: "ForecastModel", folder: Path, description: "Mapping[str, Any]") -> None:  # noqa: ARG002
        """Put what was saved on a model with the original base weights. description: the content of arm.json.

        Raises ValueError, or an error of the library that reads the file, where it does not fit the model.
        """
        raise TypeError(f"{self.name} learns nothing, so nothing of it is stored")

    def merge(self, model: "ForecastModel") -> None:
        """Fold what was learned into the base weights; nothing to do where it changed these themselves."""

    def refuse(self, asked: Adaptation, reason: str) -> NoReturn:
        """Raise UserError: the method cannot be had on this model as asked."""
        raise UserError(
            where=f"arm {self.arm_name(asked.rank)} on {type(asked.model).__name__}",
            found=reason,
            expected="a method, and settings of it, that this model can be adapted by",
            remedy=f"change {'ranks, ' if self.has_rank else ''}arms or adaptation in params.yaml; "
            "nothing was trained",
        )


class WholeModel(Method):
    """Trains and stores all weights."""

    def plan(self, asked: Adaptation) -> Plan:
        """All parameters."""
        named = dict(asked.model.module.named_parameters())
        return Plan(parameters=tuple(named), trainable=count_numbers(named))

    def apply(self, asked: Adaptation, planned: Plan) -> TrainingHooks:  # noqa: ARG002
        """Let everything train."""
        asked.model.module.requires_grad_(True)
        return TrainingHooks()

    def save(self, model: "ForecastModel", rank: int | None, folder: Path, base_name: str) -> dict[str, Any]:  # noqa: ARG002
        """Write the model as its family saves it."""
        model.save(folder)
        return {}

    def load(self, model: "ForecastModel", folder: Path, description: "Mapping[str, Any]") -> None:  # noqa: ARG002
        """Replace the module by the stored one."""
        from workflow_scripts.adaptation.tensors import require_equal_shapes, require_finite

        loaded = type(model).load(folder).module
        found = dict(loaded.named_parameters())
        require_finite(found)
        require_equal_shapes(found, dict(model.module.named_parameters()))
        model.module = loaded


class FromScratch(WholeModel):
    """Trains a model that has no base weights."""

    model_kind = "from scratch"
    loss: ClassVar[str]
    """The training loss, one of the model's `losses`."""

    def plan(self, asked: Adaptation) -> Plan:
        """Choose the loss; all parameters that the family's library trains. The others have no part in the forecast."""
        asked.model.choose_loss(self.loss)
        named = {
            name: weight for name, weight in asked.model.module.named_parameters() if weight.requires_grad
        }
        return Plan(parameters=tuple(named), trainable=count_numbers(named))

    def apply(self, asked: Adaptation, planned: Plan) -> TrainingHooks:  # noqa: ARG002
        """Nothing more to do: the model was made to be trained."""
        return TrainingHooks()

    def load(self, model: "ForecastModel", folder: Path, description: "Mapping[str, Any]") -> None:
        """Replace the module by the stored one, of the same loss."""
        model.choose_loss(self.loss)
        super().load(model, folder, description)


def count_numbers(named: "Mapping[str, Tensor]") -> int:
    """Numbers in these tensors; one that has two names counts once."""
    return sum(weight.numel() for weight in {id(weight): weight for weight in named.values()}.values())
