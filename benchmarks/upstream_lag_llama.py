"""Lag-Llama as upstream computes it, re-enacted in plain torch from its description alone.

Its package is on no registry. Nothing of this project's model code is used: every series is repeated once for each
sample, and every step computes statistics, features and all tokens of all rows anew. Source: lightning_module.forward
and compute_loss, and model/module.py, of time-series-foundation-models/lag-llama (commit 013ff0c).
"""

from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import stdtrit
from torch import Tensor
from torch.distributions import AffineTransform, StudentT, TransformedDistribution


def calendar_features(start: Tensor, first: int, length: int) -> Tensor:
    """Calendar features by pandas; float32 [series, length, 6].

    start: seconds since the epoch at each series' first hour. first: the hour after it at which the features begin.
    """
    rows = []
    for second in start.tolist():
        begin = pd.Timestamp(second, unit="s") + pd.Timedelta(hours=first)
        moments = pd.date_range(begin, periods=length, freq="h")
        fields = [
            moments.second / 59,
            moments.minute / 59,
            moments.hour / 23,
            moments.dayofweek / 6,
            (moments.day - 1) / 30,
            (moments.dayofyear - 1) / 365,
        ]
        rows.append(np.stack(fields, axis=1) - 0.5)
    return torch.from_numpy(np.stack(rows).astype(np.float32))


class UpstreamNetwork:
    """Network, loss and sampling loop without cache, over the tensors of a module of this project's.

    weights: name -> tensor, those of the module's parameters, which train where they do. configuration: its sizes.
    """

    def __init__(self, weights: dict[str, Tensor], configuration: Any) -> None:
        self.weights, self.lags = weights, list(configuration.lags)
        self.heads, self.layers = configuration.n_head, configuration.n_layer
        self.head_width, self.context = configuration.n_embd_per_head, configuration.context_length

    def sample(self, values: Tensor, calendar: Tensor, uniforms: Tensor) -> Tensor:
        """Paths [series, samples, horizon], each draw the quantile of its uniform number."""
        series, samples, horizon = uniforms.shape
        past = values.repeat_interleave(samples, dim=0)
        observed = torch.ones_like(past)
        calendar = calendar.repeat_interleave(samples, dim=0)
        numbers = uniforms.flatten(0, 1)
        with torch.no_grad():
            for step in range(horizon):
                drawn = self._draw(past, observed, calendar[:, : self.context + step], numbers[:, step])
                past = torch.cat([past, drawn[:, None]], dim=1)
                observed = torch.cat([observed, torch.ones_like(drawn)[:, None]], dim=1)
        return past[:, -horizon:].unflatten(0, (series, samples))

    def loss(self, given: dict[str, Tensor]) -> Tensor:
        """Mean negative log-likelihood of what was observed, of every token's next value."""
        past, future = given["past_target"], given["future_target"]
        loc, scale = self._robust(past, given["past_observed"])
        known = torch.cat([past, future[:, :-1]], dim=1)
        calendar = torch.cat(
            [given["past_calendar"][:, -self.context :], given["future_calendar"][:, :-1]], dim=1
        )
        features = self._features((known - loc) / scale, loc, scale, calendar)
        df, shift, spread = self._head(self._network(features))
        distribution = TransformedDistribution(StudentT(df, shift, spread), AffineTransform(loc, scale))
        tokens = features.shape[1]
        wanted = torch.cat([past, future], dim=1)[:, -tokens:]
        observed = torch.cat([given["past_observed"], given["future_observed"]], dim=1)[:, -tokens:]
        losses = -distribution.log_prob(wanted) * observed
        return losses.sum() / observed.sum().clamp(min=1)

    def _draw(self, past: Tensor, observed: Tensor, calendar: Tensor, numbers: Tensor) -> Tensor:
        loc, scale = self._robust(past, observed)
        hidden = self._network(self._features((past - loc) / scale, loc, scale, calendar))
        df, shift, spread = (parameter[:, -1].double() for parameter in self._head(hidden))
        standard = torch.from_numpy(stdtrit(df.numpy(), numbers.numpy()))
        return (loc[:, 0].double() + scale[:, 0].double() * (shift + spread * standard)).float()

    def _robust(self, past: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Lower median and interquartile range of what is observed, over the whole grown past."""
        known = torch.where(observed.bool(), past, torch.nan)
        loc = known.nanmedian(dim=1, keepdim=True).values
        high = known.nanquantile(0.75, dim=1, keepdim=True)
        low = known.nanquantile(0.25, dim=1, keepdim=True)
        return loc, (high - low).clamp(min=1e-10)

    def _features(self, scaled: Tensor, loc: Tensor, scale: Tensor, calendar: Tensor) -> Tensor:
        """Every token's lags, the row's statistics and the calendar."""
        length, tokens = scaled.shape[1], calendar.shape[1]
        lagged = [scaled[:, length - tokens - lag : length - lag] for lag in self.lags]
        statistics = torch.cat([loc.abs().log1p(), scale.log()], dim=1)
        statistics = statistics[:, None].expand(-1, tokens, 2)
        return torch.cat([torch.stack(lagged, dim=-1), statistics, calendar], dim=-1)

    def _network(self, features: Tensor) -> Tensor:
        wte = "transformer.wte"
        hidden = features @ self._weight(f"{wte}.weight").T + self._weight(f"{wte}.bias")
        rotary = self._rotary(features.shape[1])
        for layer in range(self.layers):
            block = f"transformer.h.{layer}"
            hidden = hidden + self._attention(self._norm(hidden, f"{block}.rms_1"), f"{block}.attn", rotary)
            hidden = hidden + self._feed_forward(self._norm(hidden, f"{block}.rms_2"), f"{block}.mlp")
        return self._norm(hidden, "transformer.ln_f")

    def _head(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Degrees of freedom, location and scale of every token's next value, [rows, tokens]."""
        df, shift, spread = (
            (
                hidden @ self._weight(f"param_proj.proj.{i}.weight").T
                + self._weight(f"param_proj.proj.{i}.bias")
            ).squeeze(-1)
            for i in range(3)
        )
        softplus = torch.nn.functional.softplus
        return 2 + softplus(df), shift, softplus(spread).clamp(min=2.0**-23)

    def _norm(self, hidden: Tensor, name: str) -> Tensor:
        mean_square = (hidden * hidden).mean(dim=-1, keepdim=True)
        return hidden * (mean_square + 1e-5).rsqrt() * self._weight(f"{name}.scale")

    def _attention(self, hidden: Tensor, name: str, rotary: tuple[Tensor, Tensor]) -> Tensor:
        query = hidden @ self._weight(f"{name}.q_proj.weight").T
        key, value = (hidden @ self._weight(f"{name}.kv_proj.weight").T).chunk(2, dim=-1)
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, key, value)
        )
        query, key = self._rotate(query, rotary), self._rotate(key, rotary)
        attend = torch.nn.functional.scaled_dot_product_attention
        mixed = attend(query, key, value, is_causal=True)
        return mixed.transpose(1, 2).flatten(2) @ self._weight(f"{name}.c_proj.weight").T

    def _rotary(self, tokens: int) -> tuple[Tensor, Tensor]:
        width = self.head_width
        frequencies = 10000.0 ** (-torch.arange(0, width, 2).float() / width)
        angles = torch.arange(tokens).float()[:, None] * frequencies
        angles = torch.cat([angles, angles], dim=1)
        return angles.cos(), angles.sin()

    def _rotate(self, part: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        cosines, sines = rotary
        first, second = part.chunk(2, dim=-1)
        return part * cosines + torch.cat([-second, first], dim=-1) * sines

    def _feed_forward(self, hidden: Tensor, name: str) -> Tensor:
        gate = torch.nn.functional.silu(hidden @ self._weight(f"{name}.c_fc1.weight").T)
        return (gate * (hidden @ self._weight(f"{name}.c_fc2.weight").T)) @ self._weight(
            f"{name}.c_proj.weight"
        ).T

    def _weight(self, name: str) -> Tensor:
        return self.weights[name]
