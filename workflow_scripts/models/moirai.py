"""MOIRAI 1.x: one masked encoder over patches, a mixture for every point (Woo et al. 2024, arXiv 2402.02592).

Upstream's `MoiraiForecast` needs Lightning, whose import costs more than everything else together. So the
packed tensors are built here (tests hold them to `MoiraiForecast._convert`), and the module's file is loaded without
the package beside it. Covariates are variates of their own, as upstream's `past_feat_dynamic_real`: every token
attends to every other, and no loss is taken on them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import AffineTransform, Distribution
from uni2ts.distribution import DistrParamProj, MixtureOutput
from uni2ts.distribution.log_normal import LogNormalOutput
from uni2ts.distribution.negative_binomial import NegativeBinomialOutput
from uni2ts.distribution.normal import NormalFixedScaleOutput
from uni2ts.distribution.student_t import StudentTOutput
from uni2ts.loss.packed import PackedNLLLoss
from uni2ts.module.position.attn_projection import RotaryProjection
from uni2ts.module.ts_embed import MultiInSizeLinear, MultiOutSizeLinear

from workflow_scripts.models.base_weights import read_config
from workflow_scripts.models.interface import ForecastModel, Series
from workflow_scripts.models.limits import require_at_most
from workflow_scripts.models.moirai_mixture import Mixture, draw_mixture, mixture_quantiles, read_mixture
from workflow_scripts.models.registry import patch_size
from workflow_scripts.models.uni2ts_parts import load_module, patches, save_module, uni2ts_module

Array = NDArray[np.float64]
MODULE = uni2ts_module("moirai")


def moirai_module_class() -> type[nn.Module]:
    """`uni2ts.model.moirai.module.MoiraiModule`, without Lightning."""
    return MODULE.MoiraiModule


@dataclass
class _Tokens:
    """What the tokens that a module is given have in common: the size of a patch, and their angles in every layer."""

    patch: int
    angles: tuple[Tensor, Tensor] | None = None
    """Cosine and sine, [batch, 1, 1, tokens, width], once a layer has looked them up."""


_TOKENS: ContextVar[_Tokens | None] = ContextVar("tokens that a module is given", default=None)
"""None: upstream's own computation, for tokens of any sizes and layers of any positions in time."""


class OneInSize(MultiInSizeLinear):
    """The projection of patches of one size; upstream computes those of all sizes for every token and adds zeros."""

    def forward(self, x: Tensor, in_feat_size: Tensor) -> Tensor:
        """x: [..., patch]."""
        tokens = _TOKENS.get()
        if tokens is None:
            return super().forward(x, in_feat_size)
        patch = tokens.patch
        number = self.in_features_ls.index(patch)
        return nn.functional.linear(x, self.weight[number, :, :patch], self.bias[number])


class OneOutSize(MultiOutSizeLinear):
    """One parameter of the distribution, for the points of a patch of one size."""

    def forward(self, x: Tensor, out_feat_size: Tensor) -> Tensor:
        """Returns [..., dim x patch]."""
        tokens = _TOKENS.get()
        if tokens is None:
            return super().forward(x, out_feat_size)
        patch = tokens.patch
        number, kept = self.out_features_ls.index(self.dim * patch), (self.dim, -1)
        if self.dim == 1:
            return nn.functional.linear(x, self.weight[number, :patch], self.bias[number, :patch])
        weight, mask, bias = (
            part.unflatten(0, kept)[:, :patch].flatten(0, 1)
            for part in (self.weight[number], self.mask[number], self.bias[number])
        )
        return nn.functional.linear(x, weight * mask, bias)


class OneSizeProjection(DistrParamProj):
    """All parameters of the distribution, for the points of a patch of one size."""

    @property
    def out_size(self) -> int:
        """Points of a token."""
        tokens = _TOKENS.get()
        return tokens.patch if tokens else self.__dict__["out_size"]

    def forward(self, hidden: Tensor, patch_size: Tensor) -> Any:
        """In float32, whatever the layers before computed in: likelihoods need all digits."""
        with torch.autocast(hidden.device.type, enabled=False):
            return super().forward(hidden.float(), patch_size)


class SharedRotation(RotaryProjection):
    """Turns queries and keys by their position in time; upstream looks the angles up for each of them in every layer.

    It also checks, each time, whether a position is beyond its table, for which a GPU is waited for; `Moirai` takes no
    more tokens than the table has positions.
    """

    def forward(self, x: Tensor, seq_id: Tensor) -> Tensor:
        """x: [batch, group, heads of it, tokens, width]; seq_id: [batch, 1, 1, tokens]."""
        tokens = _TOKENS.get()
        if tokens is None:
            return super().forward(x, seq_id)
        if tokens.angles is None:
            tokens.angles = self.cos[seq_id], self.sin[seq_id]
        cosine, sine = tokens.angles
        first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
        turned = torch.stack((-second, first), dim=-1).flatten(-2)
        return cosine * x + sine * turned


_FOR_ALIKE_TOKENS = {
    MultiInSizeLinear: OneInSize,
    MultiOutSizeLinear: OneOutSize,
    DistrParamProj: OneSizeProjection,
    RotaryProjection: SharedRotation,
}


@contextmanager
def _given(tokens: _Tokens) -> Iterator[None]:
    """All tokens are alike: patches of one size and no wider, of the same positions in time in every layer."""
    token = _TOKENS.set(tokens)
    try:
        yield
    finally:
        _TOKENS.reset(token)


class Moirai(ForecastModel):
    """A MOIRAI 1.0-R or 1.1-R checkpoint of any size. `module` is uni2ts' MoiraiModule."""

    attention_targets = r".*\.self_attn\.(q_proj|k_proj|v_proj|out_proj)"
    linear_targets = rf"{attention_targets}|.*\.ffn\.(fc1|fc2|fc_gate)"
    key_value_targets = r".*\.self_attn\.(k_proj|v_proj)"
    feedforward_targets = r".*\.ffn\.fc2"
    head_parameters = r"param_proj\..*"
    norm_parameters = r"encoder\..*norm[12]?\.weight"
    exact_quantiles = True

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        # Of the published models' five sizes only one is asked for at a time.
        for layer in module.modules():
            layer.__class__ = _FOR_ALIKE_TOKENS.get(type(layer), type(layer))
        self._patch_sizes = sorted(module.patch_sizes)
        self._most_tokens: int = module.max_seq_len

    @classmethod
    def create(cls, sizes: dict[str, Any], seed: int) -> Self:
        """The architecture with random weights, in evaluation mode.

        sizes: d_model, num_layers, patch_sizes (rising).
        """
        mixture = MixtureOutput(
            components=[
                StudentTOutput(),
                NormalFixedScaleOutput(),
                NegativeBinomialOutput(),
                LogNormalOutput(),
            ]
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = moirai_module_class()(
                distr_output=mixture,
                d_model=sizes["d_model"],
                num_layers=sizes["num_layers"],
                patch_sizes=tuple(sizes["patch_sizes"]),
                max_seq_len=512,
                attn_dropout_p=0.0,
                dropout_p=0.0,
                scaling=True,
            )
        return cls(module.eval())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a published checkpoint's folder; see ForecastModel.load."""
        read_config(
            folder, "MOIRAI 1.x", {"distr_output", "d_model", "num_layers", "patch_sizes", "max_seq_len"}
        )
        return cls(load_module(moirai_module_class(), folder))

    def save(self, folder: Path) -> None:
        """Write model.safetensors and config.json; `MoiraiModule.from_pretrained` reads them."""
        save_module(self.module, folder)

    def patch_size(self, context: int) -> int:
        """The largest patch size that cuts `context` points into at least FEWEST_PATCHES patches.

        The paper chooses by frequency (32 to 128 for hours and minutes), which leaves a context of one day
        without a single whole patch; upstream's "auto" needs a validation pass for each window. This rule
        needs neither: 24 and 72 points make patches of 8, 512 points patches of 64.
        """
        return patch_size(self._patch_sizes, context)

    def loss(self, context: Series, target: Tensor) -> Tensor:
        """Negative log-likelihood under the mixture, mean over observed points; see ForecastModel.loss."""
        packed = self.inputs(context, target)
        masks = {name: packed[name] for name in _LOSS_INPUTS}
        with _unchecked():
            distribution = self.distribution(packed)
            if not _is_finite(distribution.base_dist):
                # Upstream's likelihood draws from the components first, which then ends in an error.
                return distribution.base_dist.weights.logits.sum() * torch.nan
            return PackedNLLLoss()(pred=distribution, **masks)

    @torch.inference_mode()
    def sample(self, context: Series, uniforms: Tensor) -> Tensor:
        """One forward pass; every point is drawn by inverting its distribution; see ForecastModel.sample.

        Steps are independent of each other, since the model says nothing about how they belong together.
        """
        mixture, location, scale = self._steps(context, uniforms.shape[2])
        drawn = draw_mixture(mixture, uniforms.cpu().numpy())
        return torch.from_numpy(drawn * scale + location).to(context.values.device, torch.float32)

    @torch.inference_mode()
    def quantiles(self, context: Series, uniforms: Tensor, levels: list[float]) -> Tensor:
        """Those of each step's mixture, exactly; the uniforms give only the horizon. See ForecastModel.quantiles."""
        mixture, location, scale = self._steps(context, uniforms.shape[2])
        found = mixture_quantiles(mixture, np.array(levels)).swapaxes(1, 2)
        return torch.from_numpy(found * scale + location).float()

    def _steps(self, context: Series, horizon: int) -> tuple[Mixture, Array, Array]:
        """Each step's mixture [batch, horizon], and the location and scale of its values [batch, 1, horizon]."""
        values = context.values
        patch = self.patch_size(values.shape[1])
        packed = self.inputs(context, values.new_zeros(len(values), horizon))
        with _unchecked():
            distribution = self.distribution(packed)
        first = -(-values.shape[1] // patch)
        predicted = slice(first, first - (-horizon // patch))

        def steps(parameter: Tensor) -> Array:
            """One parameter of the distribution at the forecast points, [batch, horizon]."""
            return parameter[:, predicted].flatten(1, 2)[:, :horizon].double().cpu().numpy()

        affine: AffineTransform = distribution.transforms[0]
        location, scale = (steps(_every_point(value, patch))[:, None] for value in (affine.loc, affine.scale))
        return read_mixture(distribution.base_dist, steps), location, scale

    def distribution(self, packed: dict[str, Tensor]) -> Distribution:
        """What the module says of every point of the tokens that `inputs` makes, [batch, tokens, patch]."""
        with _given(_Tokens(packed["target"].shape[2])):
            return self.module(**packed)

    def inputs(self, context: Series, target: Tensor) -> dict[str, Tensor]:
        """`pack` with the patch size of this context, for windows of no more tokens than the model was trained on."""
        steps, horizon, patch = (
            context.values.shape[1],
            target.shape[1],
            self.patch_size(context.values.shape[1]),
        )
        variates = 1 if context.covariates is None else 1 + context.covariates.shape[1]
        require_at_most("windows.horizon", horizon, (self._most_tokens - variates) * patch, "MOIRAI")
        past_tokens = self._most_tokens - -(-horizon // patch)
        require_at_most("windows.context", steps, past_tokens // variates * patch, "MOIRAI")
        return pack(context.values, target, patch, patch, context.covariates)


_LOSS_INPUTS = ("target", "observed_mask", "prediction_mask", "sample_id", "variate_id")


@contextmanager
def _unchecked() -> Iterator[None]:
    """Without torch's checks of a distribution's parameters, whose message would print them all.

    A model that has diverged then gives a loss or a forecast that is not finite, as every other family does.
    """
    checks = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(checks)


def _is_finite(mixture: Distribution) -> bool:
    named = ((part, name) for part in mixture.components for name in part.arg_constraints)
    parameters = [mixture.weights.logits, *(getattr(part, name) for part, name in named)]
    # One answer for all, because a GPU is waited for at each.
    return bool(torch.stack([parameter.isfinite().all() for parameter in parameters]).all())


def pack(
    context: Tensor, target: Tensor, patch: int, widest_patch: int, covariates: Tensor | None = None
) -> dict[str, Tensor]:
    """The module's inputs, a token for each patch: context, then target, then each covariate's past.

    context: [batch, time]; target: [batch, horizon]; covariates: [batch, others, time]; NaN where nothing was
    observed. Missing points enter as 0, as upstream's transformation does, and stay in view, those before the first
    observation too; time is counted from its patch, as upstream counts it.
    Returns float32 and bool [batch, tokens, widest_patch], int64 and bool [batch, tokens].
    """
    observed = ~torch.isnan(context)
    past, past_mask = (patches(value, patch, left=True) for value in (torch.nan_to_num(context), observed))
    future, future_mask = (
        patches(value, patch, left=False) for value in (torch.nan_to_num(target), ~torch.isnan(target))
    )
    others = context.new_empty(len(context), 0, context.shape[1]) if covariates is None else covariates
    number = others.shape[1]
    other, other_mask = (
        patches(value, patch, left=True).flatten(1, 2)
        for value in (torch.nan_to_num(others), ~others.isnan())
    )
    past_time = (past_mask.any(-1).cummax(dim=1).values.cumsum(dim=1) - 1).clamp(min=0)
    future_time = torch.arange(1, future.shape[1] + 1, device=context.device) + past_time[:, -1:]
    no_past = torch.zeros_like(past_time)
    other_time = past_time.repeat(1, number)
    other_variate = torch.arange(1, number + 1, device=context.device).repeat_interleave(past.shape[1])
    time_id = torch.cat((past_time, future_time, other_time), dim=1)
    widen = (0, widest_patch - patch)
    return {
        "target": nn.functional.pad(torch.cat((past, future, other), dim=1), widen),
        "observed_mask": nn.functional.pad(torch.cat((past_mask, future_mask, other_mask), dim=1), widen),
        "sample_id": torch.ones_like(time_id),
        "time_id": time_id,
        "variate_id": torch.cat(
            (no_past, torch.zeros_like(future_time), other_variate.expand_as(other_time)), dim=1
        ),
        "prediction_mask": torch.cat(
            (no_past, torch.ones_like(future_time), torch.zeros_like(other_time)), dim=1
        ).bool(),
        "patch_size": torch.full_like(time_id, patch),
    }


def _every_point(per_token: Tensor, patch: int) -> Tensor:
    """[batch, tokens, 1] -> [batch, tokens, patch]."""
    return per_token.expand(-1, -1, patch)
