"""The transformer. Module and parameter names are upstream's, so that its weights load one to one."""

from collections.abc import Callable
from copy import copy
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from workflow_scripts.models.lag_llama.configuration import LagLlamaConfiguration

Tables = tuple[Tensor, Tensor] | None
"""Cosines and signed sines of all positions, or None without rotation."""

Remember = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Takes one layer's newest rotated keys and values, gives back all; [rows, heads, tokens, head width]."""

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


class Memory:
    """Rotated keys and values of the tokens that a network has read, in buffers as long as they will get.

    A call of the network that is given a memory continues where the last one ended. Positions are rotated as
    in a sequence of `capacity` tokens, which matters for "dynamic" scaling only.
    """

    def __init__(
        self, configuration: LagLlamaConfiguration, rows: int, capacity: int, device: torch.device
    ) -> None:
        layers, heads, width = configuration.n_layer, configuration.n_head, configuration.n_embd_per_head
        self._kept = torch.empty(layers, 2, rows, heads, capacity, width, device=device)
        self._tables = _tables_on(device, configuration, capacity)
        self.capacity, self.tokens = capacity, 0

    def select(self, rows: Tensor) -> "Memory":
        """A memory of its own for each of these rows (int64), which may name one row often."""
        selected = copy(self)
        selected._kept = self._kept.index_select(2, rows)
        return selected

    def tables_of(self, newest: int) -> Tables:
        """The rotary tables of the next `newest` positions."""
        if self._tables is None:
            return None
        positions = slice(self.tokens, self.tokens + newest)
        return self._tables[0][positions], self._tables[1][positions]

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keep what a layer made of the newest tokens; return all that it has."""
        kept, known = self._kept[layer], self.tokens + key.shape[2]
        kept[0, :, :, self.tokens : known], kept[1, :, :, self.tokens : known] = key, value
        return kept[0, :, :, :known], kept[1, :, :, :known]


def _tables_on(device: torch.device, configuration: LagLlamaConfiguration, length: int) -> Tables:
    tables = rotary_tables(configuration, length)
    return None if tables is None else (tables[0].to(device), tables[1].to(device))


class RMSNorm(nn.Module):
    """Root mean square normalisation with a gain (Zhang and Sennrich 2019, arXiv 1910.07467)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, hidden: Tensor) -> Tensor:
        # In half precision the fused kernel wants a gain of the same type.
        return functional.rms_norm(hidden, self.scale.shape, self.scale.to(hidden.dtype), _NORM_EPSILON)


class Attention(nn.Module):
    """Causal self-attention with rotary positions; without biases."""

    def __init__(self, configuration: LagLlamaConfiguration) -> None:
        super().__init__()
        width, self.heads = configuration.width, configuration.n_head
        self.q_proj = nn.Linear(width, width, bias=False)
        self.kv_proj = nn.Linear(width, 2 * width, bias=False)
        self.c_proj = nn.Linear(width, width, bias=False)

    def forward(
        self, hidden: Tensor, tables: Tables, repeats: int, last_only: bool, remember: Remember | None
    ) -> Tensor:
        """hidden: [rows, tokens, width]. Returns all tokens' outputs, or the last one's alone."""
        query = self.q_proj(hidden[:, -1:]) if last_only else _first_repeated(self.q_proj(hidden), repeats)
        key, value = _first_repeated(self.kv_proj(hidden), repeats).chunk(2, dim=-1)
        if tables is not None:
            key = rotate(key, self.heads, tables)
            tokens = query.shape[1]
            query = rotate(query, self.heads, (tables[0][-tokens:], tables[1][-tokens:]))
        query, key, value = (self._split(projected) for projected in (query, key, value))
        if remember is not None:
            key, value = remember(key, value)
        mixed = _attend(query, key, value)
        kept = mixed if last_only else mixed[:, :, repeats:]
        return self.c_proj(kept.transpose(1, 2).flatten(2))

    def _split(self, projected: Tensor) -> Tensor:
        return projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal attention of the newest tokens to all, themselves included; [rows, heads, tokens, width]."""
    newest, known = query.shape[2], key.shape[2]
    if newest == 1:
        # For a single query the fused kernel is, on a CPU, three times slower than its parts.
        scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
        return scores.softmax(dim=3) @ value
    if newest == known:
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    mask = torch.ones(newest, known, dtype=torch.bool, device=query.device).tril(known - newest)
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)


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

    def forward(
        self, hidden: Tensor, tables: Tables, repeats: int, last_only: bool, remember: Remember | None
    ) -> Tensor:
        attended = self.attn(self.rms_1(hidden), tables, repeats, last_only, remember)
        hidden = (hidden[:, -1:] if last_only else hidden) + attended
        return hidden + self.mlp(self.rms_2(hidden))


class StudentTHead(nn.Module):
    """Three projections to degrees of freedom (above 2), location and scale (above 0).

    In float32, whatever the layers before computed in: likelihoods need all digits.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.ModuleList(nn.Linear(width, 1) for _ in range(3))

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.autocast(hidden.device.type, enabled=False):
            return domain_map(*(projection(hidden.float()).squeeze(-1) for projection in self.proj))


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
        self, tokens: Tensor, repeats: int = 0, last_only: bool = False, memory: Memory | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Degrees of freedom, location and scale, on the row's scale.

        tokens: float32 [rows, tokens, features]. Each result is [rows, tokens], or [rows, 1] with
        `last_only`, which leaves out what only the other tokens' forecasts need.
        repeats: how often more the first token comes before itself. As nothing else comes before them, such
        tokens attend to equal values only, and so stay equal to one another in every layer: they take their
        positions in attention and are computed once everywhere else. Only an empty memory may have them.
        memory: what came before the tokens, to which they are then added.
        """
        newest = repeats + tokens.shape[1]
        tables = memory.tables_of(newest) if memory else _tables_on(tokens.device, self.configuration, newest)
        blocks = list(self.transformer["h"])
        hidden = self.transformer["wte"](tokens)
        for layer, block in enumerate(blocks):
            remember = None if memory is None else partial(memory.append, layer)
            hidden = block(hidden, tables, repeats, last_only and block is blocks[-1], remember)
        if memory is not None:
            memory.tokens += newest
        return self.param_proj(self.transformer["ln_f"](hidden))
