"""The transformer. Module and parameter names are upstream's, so that its weights load one to one."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from workflow_scripts.models.lag_llama.configuration import LagLlamaConfiguration

Tables = tuple[Tensor, Tensor] | None
"""Cosines and signed sines of all positions, or None without rotation."""

_ROTARY_BASE = 10000.0
_NORM_EPSILON = 1e-5
_SMALLEST_SCALE = 2.0**-23


def rotary_tables(configuration: LagLlamaConfiguration, length: int) -> Tables:
    """Cosines and signed sines for `rotate`, each [length, width]; None without rotation ("nope").

    Made anew for every length. Upstream keeps the longest tables it ever made, so that with "dynamic" scaling
    its short calls after a long one differ; for windows that only grow the two are equal.
    """
    scaling, width = configuration.rope_scaling, configuration.n_embd_per_head
    kind = None if scaling is None else scaling.type
    if kind == "nope":
        return None
    base, positions = _ROTARY_BASE, torch.arange(length, dtype=torch.float32)
    if scaling is not None and kind == "linear":
        positions = positions / scaling.factor
    longest = configuration.max_context_length
    if scaling is not None and kind == "dynamic" and length > longest:
        stretch = scaling.factor * length / longest - (scaling.factor - 1)
        base *= stretch ** (width / (width - 2))
    frequencies = 1.0 / base ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    angles = torch.outer(positions, frequencies)
    cosines = torch.cat([angles.cos(), angles.cos()], dim=1)
    sines = torch.cat([-angles.sin(), angles.sin()], dim=1)
    return cosines.tile(configuration.n_head), sines.tile(configuration.n_head)


def rotate(projected: Tensor, heads: int, tables: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate each head's dimension i against i + half by the position's angle.

    projected: [rows, length, width], heads side by side: rotating before the heads are split works on long
    contiguous rows, which is several times faster. Source: Su et al. 2021, arXiv 2104.09864.
    """
    cosines, signed_sines = tables
    by_head = projected.unflatten(-1, (heads, -1))
    halves_swapped = by_head.roll(by_head.shape[-1] // 2, dims=-1).flatten(-2)
    return torch.addcmul(projected * cosines, halves_swapped, signed_sines)


class RMSNorm(nn.Module):
    """Root mean square normalisation with a gain (Zhang and Sennrich 2019, arXiv 1910.07467)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, hidden: Tensor) -> Tensor:
        return functional.rms_norm(hidden, self.scale.shape, self.scale, _NORM_EPSILON)


class Attention(nn.Module):
    """Causal self-attention with rotary positions; without biases."""

    def __init__(self, configuration: LagLlamaConfiguration) -> None:
        super().__init__()
        width, self.heads = configuration.width, configuration.n_head
        self.q_proj = nn.Linear(width, width, bias=False)
        self.kv_proj = nn.Linear(width, 2 * width, bias=False)
        self.c_proj = nn.Linear(width, width, bias=False)

    def forward(self, hidden: Tensor, tables: Tables, repeats: int, last_only: bool) -> Tensor:
        """hidden: [rows, tokens, width]. Returns all tokens' outputs, or the last one's alone."""
        query = self.q_proj(hidden[:, -1:]) if last_only else _first_repeated(self.q_proj(hidden), repeats)
        key, value = _first_repeated(self.kv_proj(hidden), repeats).chunk(2, dim=-1)
        if tables is not None:
            key = rotate(key, self.heads, tables)
            tokens = query.shape[1]
            query = rotate(query, self.heads, (tables[0][-tokens:], tables[1][-tokens:]))
        split = [self._split(projected) for projected in (query, key, value)]
        mixed = functional.scaled_dot_product_attention(*split, is_causal=not last_only)
        kept = mixed if last_only else mixed[:, :, repeats:]
        return self.c_proj(kept.transpose(1, 2).flatten(2))

    def _split(self, projected: Tensor) -> Tensor:
        return projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _first_repeated(projected: Tensor, repeats: int) -> Tensor:
    if not repeats:
        return projected
    return torch.cat([projected[:, :1].expand(-1, repeats, -1), projected], dim=1)


class FeedForward(nn.Module):
    """Gated feed-forward layer (SwiGLU); without biases."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.c_fc1 = nn.Linear(width, hidden, bias=False)
        self.c_fc2 = nn.Linear(width, hidden, bias=False)
        self.c_proj = nn.Linear(hidden, width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.c_proj(functional.silu(self.c_fc1(hidden)) * self.c_fc2(hidden))


class Block(nn.Module):
    """Attention and feed-forward layer, each behind a norm and beside a residual connection."""

    def __init__(self, configuration: LagLlamaConfiguration) -> None:
        super().__init__()
        self.rms_1 = RMSNorm(configuration.width)
        self.attn = Attention(configuration)
        self.rms_2 = RMSNorm(configuration.width)
        self.mlp = FeedForward(configuration.width, configuration.hidden_width)

    def forward(self, hidden: Tensor, tables: Tables, repeats: int, last_only: bool) -> Tensor:
        attended = self.attn(self.rms_1(hidden), tables, repeats, last_only)
        hidden = (hidden[:, -1:] if last_only else hidden) + attended
        return hidden + self.mlp(self.rms_2(hidden))


class StudentTHead(nn.Module):
    """Three projections to degrees of freedom (above 2), location and scale (above 0)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.ModuleList(nn.Linear(width, 1) for _ in range(3))

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return domain_map(*(projection(hidden).squeeze(-1) for projection in self.proj))


def domain_map(df: Tensor, loc: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Unbounded outputs to Student-t parameters (gluonts' StudentTOutput); df may underflow to exactly 2."""
    return 2.0 + functional.softplus(df), loc, functional.softplus(scale).clamp(min=_SMALLEST_SCALE)


class LagLlamaNetwork(nn.Module):
    """From tokens to the parameters of each token's next value.

    The state dict has upstream's names without the prefix `model.` under which Lightning stores the network.
    """

    def __init__(self, configuration: LagLlamaConfiguration) -> None:
        super().__init__()
        self.configuration = configuration
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Linear(configuration.token_width, configuration.width),
                "h": nn.ModuleList(Block(configuration) for _ in range(configuration.n_layer)),
                "ln_f": RMSNorm(configuration.width),
            }
        )
        self.param_proj = StudentTHead(configuration.width)

    def forward(
        self, tokens: Tensor, repeats: int = 0, last_only: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Degrees of freedom, location and scale, on the row's scale.

        tokens: float32 [rows, tokens, features]. Each result is [rows, tokens], or [rows, 1] with
        `last_only`, which leaves out what only the other tokens' forecasts need.
        repeats: how often more the first token comes before itself. As nothing else comes before them, such
        tokens attend to equal values only, and so stay equal to one another in every layer: they take their
        positions in attention and are computed once everywhere else.
        """
        tables = rotary_tables(self.configuration, repeats + tokens.shape[1])
        if tables is not None:
            tables = (tables[0].to(tokens.device), tables[1].to(tokens.device))
        blocks = list(self.transformer["h"])
        hidden = self.transformer["wte"](tokens)
        for block in blocks[:-1]:
            hidden = block(hidden, tables, repeats, last_only=False)
        hidden = blocks[-1](hidden, tables, repeats, last_only)
        return self.param_proj(self.transformer["ln_f"](hidden))
