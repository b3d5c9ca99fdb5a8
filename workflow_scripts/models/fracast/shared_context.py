"""Upstream's forward pass, with the padding in front of short contexts computed once for all windows that share it.

Upstream pads every context on the left to 2,048 steps. What it computes of a step of padding depends on nothing of
the window but the periods that were detected in it. So each distinct tuple of periods gets one row of padding, and
each window computes its own steps only: their convolutions look up the padding that lies before them.
The numbers are upstream's but for the order of sums.
"""

from dataclasses import dataclass

import torch
from fracast._core.future_conv import FutureConvStates
from fracast._core.gather_head import GatherQuantileHead
from fracast._core.model import FracastCore
from fracast._core.periodic.official_encoding import _phase_encoding, _recency_encoding
from fracast._core.periodic.official_periodogram import significant_periods
from fracast._core.self_similar_block import SelfSimilarBlock
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True)
class Steps:
    """Steps in order of time: those before a window, which several windows share, and those of the window itself.

    shared: float32 [patterns, steps, width]; own: float32 [windows, steps, width]; pattern: int64 [windows], the row of
    `shared` that comes before each window.
    """

    shared: Tensor
    own: Tensor
    pattern: Tensor

    def before(self, offset: int) -> Tensor:
        """For each own step the one so many steps earlier, of the window or before it; zeros before the first."""
        steps, known = self.own.shape[1], self.shared.shape[1]
        count = min(steps, offset)
        first = known - offset
        earlier = self.shared[:, max(first, 0) : max(first + count, 0)]
        earlier = pad(earlier, (0, 0, count - earlier.shape[1], 0))[self.pattern]
        return torch.cat((earlier, self.own[:, : steps - count]), dim=1)


def forecast_scaled(
    core: FracastCore, head: GatherQuantileHead, values: Tensor, observed: Tensor, horizon: int
) -> Tensor:
    """Quantiles of the next steps on the scale of `values`, float32 [windows, horizon, levels].

    values: float32 [windows, context], 0 where not observed; observed: bool of the same shape. horizon: at most
    that of the head, whose steps look at no later ones.
    """
    periods = detect_periods(core, values, observed)
    patterns, pattern = torch.unique(periods, dim=0, return_inverse=True)
    encoded = _encode(core, values, observed, periods, patterns, pattern)
    recency = _recency_encoding(_positions(core.W, horizon, values), core.W).expand(len(values), -1, -1)
    total = encoded.shared.sum(dim=1)[pattern] + encoded.own.sum(dim=1)
    summary = torch.cat((total / core.W, encoded.own[:, -1]), dim=-1)
    states = head.summary_proj(torch.cat((recency, summary[:, None].expand(-1, horizon, -1)), dim=-1))
    states = states + head.queries[:horizon]
    for feedforward, norm in zip(head.decoder_ffns, head.decoder_norms, strict=True):
        states = norm(states + feedforward(states))
    for block in head.fc_blocks:
        states = block(states)
    fill = _seasonal_fill(core.W, values, observed, periods, horizon, head.phase_bins)
    future = head.future_conv.in_proj(torch.cat((fill[..., None], recency), dim=-1))
    return head.out_proj(states + _future_states(head.future_conv, encoded, future))


def detect_periods(core: FracastCore, values: Tensor, observed: Tensor) -> Tensor:
    """The periods that upstream detects in the padded context, int64 [windows, periods]; 0: none."""
    count = observed.sum(dim=1, keepdim=True).clamp(min=1)
    # Not observed steps, the padding among them, count as the mean.
    filled = torch.where(observed, values, values.sum(dim=1, keepdim=True) / count)
    mean = (values.sum(dim=1, keepdim=True) / count).expand(-1, core.W - values.shape[1])
    encoder = core.periodic
    with torch.no_grad():
        periods, _, _ = significant_periods(
            torch.cat((mean, filled), dim=1),
            min_period=encoder.min_period,
            max_period=max(2, core.W // 2),
            top_k=encoder.top_k,
            significance_alpha=encoder.alpha,
        )
    return periods


def _encode(
    core: FracastCore, values: Tensor, observed: Tensor, periods: Tensor, patterns: Tensor, pattern: Tensor
) -> Steps:
    """Upstream's encoder over the padding and the windows."""
    context = values.shape[1]
    padding = core.W - context
    nothing = values.new_zeros((len(patterns), padding))
    steps = Steps(
        _features(core, 0, nothing, nothing, patterns),
        _features(core, padding, values, observed.to(values.dtype), periods),
        pattern,
    )
    for dilation in core.dilations():
        conditioned = Steps(core.scale(steps.shared, dilation), core.scale(steps.own, dilation), pattern)
        steps = _convolve(core.block, conditioned, dilation)
    return Steps(core.norm(steps.shared), core.norm(steps.own), pattern)


def _features(core: FracastCore, first: int, values: Tensor, observed: Tensor, periods: Tensor) -> Tensor:
    """What the encoder reads of steps from position `first` on: value, coverage, recency, phases of the periods."""
    position = _positions(first, values.shape[1], values)
    recency = _recency_encoding(position, core.W).expand(len(values), -1, -1)
    read = core.in_proj(torch.cat((values[..., None], observed[..., None], recency), dim=-1))
    phases = _phase_encoding(position.expand(len(values), -1), periods, n_harmonics=core.periodic.n_harm)
    return read + core.periodic.proj(phases)


def _convolve(block: SelfSimilarBlock, steps: Steps, dilation: int) -> Steps:
    """One pass of upstream's block over the padding and the windows; its convolution, written as a sum over taps."""
    offsets = [(block.kernel - 1 - tap) * dilation for tap in range(block.kernel)]
    shared = _block(block, steps.shared, [_shifted(steps.shared, offset) for offset in offsets])
    own = _block(block, steps.own, [steps.before(offset) for offset in offsets])
    return Steps(shared, own, steps.pattern)


def _block(block: SelfSimilarBlock, steps: Tensor, taps: list[Tensor]) -> Tensor:
    """Upstream's block, of each step and the earlier ones that its filter looks at."""
    filtered = block.dw_bias
    for weight, tap in zip(block.dw_weight[:, 0].unbind(dim=1), taps, strict=True):
        filtered = torch.addcmul(filtered, weight, tap)
    mixed = block.norm1(steps + block.pw(filtered))
    return block.norm2(mixed + block.ffn(mixed))


def _shifted(steps: Tensor, offset: int) -> Tensor:
    """For each step the one so many steps earlier; zeros before the first."""
    known = max(0, steps.shape[1] - offset)
    return pad(steps[:, :known], (0, 0, steps.shape[1] - known, 0))


def _future_states(convolution: FutureConvStates, encoded: Steps, future: Tensor) -> Tensor:
    """Upstream's convolution over the last encoded steps and the future ones, [windows, horizon, width]."""
    seed, known = convolution.seed, encoded.own.shape[1]
    shared = encoded.shared[:, max(0, encoded.shared.shape[1] - max(0, seed - known)) :]
    shared = shared if known < seed else shared[:, :0]
    steps = Steps(shared, torch.cat((encoded.own[:, -seed:], future), dim=1), encoded.pattern)
    for layer in range(convolution.n_layers):
        steps = _convolve(convolution.block, steps, convolution.dilation_base**layer)
    return convolution.out_proj(steps.own[:, -future.shape[1] :])


def _seasonal_fill(
    width: int, values: Tensor, observed: Tensor, periods: Tensor, horizon: int, bins: int
) -> Tensor:
    """The mean of the observed steps at the same phase of the first period, or of all, [windows, horizon]."""
    period = periods[:, :1].clamp(min=1).float()
    context = values.shape[1]

    def phase(first: int, count: int) -> Tensor:
        position = _positions(first, count, values).float()
        return ((position % period) / period * bins).long().clamp(max=bins - 1)

    past, seen = phase(width - context, context), observed.to(values.dtype)
    sums = values.new_zeros((len(values), bins)).scatter_add(1, past, values)
    counts = values.new_zeros((len(values), bins)).scatter_add(1, past, seen)
    mean = values.sum(dim=1, keepdim=True) / seen.sum(dim=1, keepdim=True).clamp(min=1)
    folded = torch.where(counts > 0, sums / counts.clamp(min=1), mean)
    return folded.gather(1, phase(width, horizon))


def _positions(first: int, count: int, like: Tensor) -> Tensor:
    """Positions in the padded context, int64 [1, count]."""
    return torch.arange(first, first + count, device=like.device)[None]
