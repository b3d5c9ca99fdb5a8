"""Time Lag-Llama's two samplers against upstream's sampling loop, on one thread.

The case is the one on which upstream was timed for docs/lag-llama.md: the official size with random weights,
32 series of 1124 values, context 32, horizon 12, 20 samples. Upstream's loop without its cache is re-enacted
here in plain torch, from its description alone and without any of this project's model code: every series is
repeated once for each sample, and every step computes statistics, features and all tokens of all rows anew.

Every measurement runs in a process of its own, so that its peak memory is its own. The draws come from the
same uniform numbers everywhere, so `exact` must give the re-enacted loop's very paths, to rounding; the
largest difference is printed beside the times.

    python benchmarks/lag_llama_sampling.py
    python benchmarks/lag_llama_sampling.py --series 2 --samples 3 --repeats 1
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CONTEXT, STEP, SEED = 32, 3600, 0
LOOPS = ("upstream", "exact", "frozen")


def main() -> None:
    """Parse the arguments, measure every loop in turn, print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--series", type=int, default=32, help="series in the batch")
    parser.add_argument("--samples", type=int, default=20, help="sample paths for each series")
    parser.add_argument("--horizon", type=int, default=12, help="steps to forecast")
    parser.add_argument("--repeats", type=int, default=3, help="how often all loops are measured in turn")
    parser.add_argument("--json", type=Path, help="also write all measurements to this file")
    parser.add_argument("--measure", choices=LOOPS, help=argparse.SUPPRESS)
    parser.add_argument("--paths", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(
            json.dumps(
                measure(options.measure, options.series, options.samples, options.paths, options.horizon)
            )
        )
        return
    rounds = _measure_all(options)
    _print(rounds, options)
    if options.json:
        options.json.write_text(json.dumps(rounds, indent=2) + "\n", encoding="utf-8")


def _measure_all(options: argparse.Namespace) -> list[dict[str, dict[str, Any]]]:
    """For each repeat, each loop's measurement; within a repeat they follow one another directly."""
    environment = os.environ | {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.repeats):
            measured = {}
            for loop in LOOPS:
                command = [sys.executable, __file__, "--measure", loop, "--paths", f"{folder}/{loop}.npy"]
                for name in ("series", "samples", "horizon"):
                    command += [f"--{name}", str(getattr(options, name))]
                result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
                measured[loop] = json.loads(result.stdout)
            measured["exact"]["gap"] = largest_gap(Path(folder), "exact")
            rounds.append(measured)
    return rounds


def largest_gap(folder: Path, loop: str) -> float:
    """The largest difference between a loop's paths and those of upstream's loop, in the row's scale."""
    import numpy as np

    upstream, other = (np.load(folder / f"{name}.npy") for name in ("upstream", loop))
    low, high = np.quantile(_values(len(other)).numpy(), [0.25, 0.75], axis=1)
    return float((abs(other - upstream) / (high - low)[:, None, None]).max())


def _print(rounds: list[dict[str, dict[str, Any]]], options: argparse.Namespace) -> None:
    import torch

    from workflow_scripts.runtime.machine import machine

    about = machine()
    print(f"{about['processor']}, {about['cores']} cores, one thread used; torch {torch.__version__}")
    print(
        f"{options.series} series, {options.samples} samples, context {CONTEXT}, horizon {options.horizon}; "
        f"{len(rounds)} repeats"
    )
    print(f"{'loop':<10}{'wall s':>9}{'CPU s':>9}{'peak MiB':>10}{'faster, wall':>14}{'faster, CPU':>13}")
    for loop in LOOPS:
        wall, cpu, peak = (
            statistics.median(measured[loop][name] for measured in rounds)
            for name in ("wall_seconds", "cpu_seconds", "peak_mib")
        )
        faster = [
            statistics.median(measured["upstream"][name] / measured[loop][name] for measured in rounds)
            for name in ("wall_seconds", "cpu_seconds")
        ]
        print(f"{loop:<10}{wall:>9.2f}{cpu:>9.2f}{peak:>10.0f}{faster[0]:>14.2f}{faster[1]:>13.2f}")
    gap = max(measured["exact"]["gap"] for measured in rounds)
    print(f"`exact` and upstream's loop differ by {gap:.1e} of a row's scale at most")


def measure(loop: str, series: int, samples: int, paths: Path, horizon: int = 12) -> dict[str, Any]:
    """One loop's wall and CPU seconds and its process's peak memory; its paths go to a file."""
    import numpy as np
    import torch

    from workflow_scripts.models.interface import Series
    from workflow_scripts.models.lag_llama import LagLlama
    from workflow_scripts.models.registry import VARIANTS
    from workflow_scripts.runtime.machine import peak_host_mib

    torch.set_num_threads(1)
    model = LagLlama.create(VARIANTS["lag-llama"].sizes, seed=SEED)
    values = _values(series)
    generator = torch.Generator().manual_seed(SEED)
    uniforms = torch.rand(series, samples, horizon, dtype=torch.float64, generator=generator)
    start = torch.arange(series) * STEP
    if loop == "upstream":
        upstream = UpstreamLoop(model.module.state_dict(), list(model.configuration.lags))
        calendar = _calendar(start, horizon)
        begun = time.perf_counter(), time.process_time()
        drawn = upstream.sample(values, calendar, uniforms)
    else:
        model.sampler = loop
        begun = time.perf_counter(), time.process_time()
        drawn = model.sample(Series(values, start, STEP), uniforms)
    ended = time.perf_counter(), time.process_time()
    np.save(paths, drawn.numpy())
    seconds = {"wall_seconds": ended[0] - begun[0], "cpu_seconds": ended[1] - begun[1]}
    return seconds | {"peak_mib": peak_host_mib()}


def _values(series: int) -> Any:
    """Noisy daily rhythms at levels of their own, all observed; float32 [series, past]."""
    import torch

    generator = torch.Generator().manual_seed(SEED)
    length = CONTEXT + 1092
    phase = 2 * math.pi * (torch.arange(length) / 24 + torch.rand(series, 1, generator=generator))
    noise = torch.randn(series, length, generator=generator)
    return 60 + 40 * torch.rand(series, 1, generator=generator) + 5 * phase.sin() + noise


def _calendar(start: Any, horizon: int) -> Any:
    """Calendar features of the window and the horizon, by pandas; float32 [series, context + horizon, 6]."""
    import numpy as np
    import pandas as pd
    import torch

    rows = []
    for second in start.tolist():
        first = pd.Timestamp(second, unit="s") + pd.Timedelta(seconds=STEP * 1092)
        moments = pd.date_range(first, periods=CONTEXT + horizon, freq="h")
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


class UpstreamLoop:
    """Upstream's network and its loop without cache: everything is computed for every row at every step.

    Source: lightning_module.forward and model/module.py of time-series-foundation-models/lag-llama (commit
    013ff0c), as described, not as written.
    """

    def __init__(
        self, weights: dict[str, Any], lags: list[int], heads: int = 9, layers: int = 8, head_width: int = 16
    ) -> None:
        import torch

        self.torch = torch
        self.weights, self.lags = weights, torch.tensor(lags)
        self.heads, self.layers, self.head_width = heads, layers, head_width

    def sample(self, values: Any, calendar: Any, uniforms: Any) -> Any:
        """Paths [series, samples, horizon], each draw the quantile of its uniform number."""
        torch = self.torch
        series, samples, horizon = uniforms.shape
        past = values.repeat_interleave(samples, dim=0)
        observed = torch.ones_like(past)
        calendar = calendar.repeat_interleave(samples, dim=0)
        numbers = uniforms.flatten(0, 1)
        with torch.no_grad():
            for step in range(horizon):
                drawn = self._draw(past, observed, calendar[:, : CONTEXT + step], numbers[:, step])
                past = torch.cat([past, drawn[:, None]], dim=1)
                observed = torch.cat([observed, torch.ones_like(drawn)[:, None]], dim=1)
        return past[:, -horizon:].unflatten(0, (series, samples))

    def _draw(self, past: Any, observed: Any, calendar: Any, numbers: Any) -> Any:
        from scipy.special import stdtrit

        loc, scale = self._robust(past, observed)
        hidden = self._network(self._features((past - loc) / scale, loc, scale, calendar))
        df, shift, spread = (parameter[:, -1].double() for parameter in self._head(hidden))
        standard = self.torch.from_numpy(stdtrit(df.numpy(), numbers.numpy()))
        return (loc[:, 0].double() + scale[:, 0].double() * (shift + spread * standard)).float()

    def _robust(self, past: Any, observed: Any) -> tuple[Any, Any]:
        """Lower median and interquartile range of what is observed, over the whole grown past."""
        torch = self.torch
        known = torch.where(observed.bool(), past, torch.nan)
        loc = known.nanmedian(dim=1, keepdim=True).values
        high = known.nanquantile(0.75, dim=1, keepdim=True)
        low = known.nanquantile(0.25, dim=1, keepdim=True)
        return loc, (high - low).clamp(min=1e-10)

    def _features(self, scaled: Any, loc: Any, scale: Any, calendar: Any) -> Any:
        """Every token's lags, the row's statistics and the calendar."""
        torch = self.torch
        length, tokens = scaled.shape[1], calendar.shape[1]
        lagged = [scaled[:, length - tokens - lag : length - lag] for lag in self.lags.tolist()]
        statistics = torch.cat([loc.abs().log1p(), scale.log()], dim=1)
        statistics = statistics[:, None].expand(-1, tokens, 2)
        return torch.cat([torch.stack(lagged, dim=-1), statistics, calendar], dim=-1)

    def _network(self, features: Any) -> Any:
        wte = "transformer.wte"
        hidden = features @ self._weight(f"{wte}.weight").T + self._weight(f"{wte}.bias")
        rotary = self._rotary(features.shape[1])
        for layer in range(self.layers):
            block = f"transformer.h.{layer}"
            hidden = hidden + self._attention(self._norm(hidden, f"{block}.rms_1"), f"{block}.attn", rotary)
            hidden = hidden + self._feed_forward(self._norm(hidden, f"{block}.rms_2"), f"{block}.mlp")
        return self._norm(hidden, "transformer.ln_f")

    def _head(self, hidden: Any) -> tuple[Any, Any, Any]:
        """Degrees of freedom, location and scale of every token's next value, [rows, tokens]."""
        df, shift, spread = (
            (
                hidden @ self._weight(f"param_proj.proj.{i}.weight").T
                + self._weight(f"param_proj.proj.{i}.bias")
            ).squeeze(-1)
            for i in range(3)
        )
        softplus = self.torch.nn.functional.softplus
        return 2 + softplus(df), shift, softplus(spread).clamp(min=2.0**-23)

    def _norm(self, hidden: Any, name: str) -> Any:
        mean_square = (hidden * hidden).mean(dim=-1, keepdim=True)
        return hidden * (mean_square + 1e-5).rsqrt() * self._weight(f"{name}.scale")

    def _attention(self, hidden: Any, name: str, rotary: tuple[Any, Any]) -> Any:
        query = hidden @ self._weight(f"{name}.q_proj.weight").T
        key, value = (hidden @ self._weight(f"{name}.kv_proj.weight").T).chunk(2, dim=-1)
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, key, value)
        )
        query, key = self._rotate(query, rotary), self._rotate(key, rotary)
        attend = self.torch.nn.functional.scaled_dot_product_attention
        mixed = attend(query, key, value, is_causal=True)
        return mixed.transpose(1, 2).flatten(2) @ self._weight(f"{name}.c_proj.weight").T

    def _rotary(self, tokens: int) -> tuple[Any, Any]:
        torch, width = self.torch, self.head_width
        frequencies = 10000.0 ** (-torch.arange(0, width, 2).float() / width)
        angles = torch.arange(tokens).float()[:, None] * frequencies
        angles = torch.cat([angles, angles], dim=1)
        return angles.cos(), angles.sin()

    def _rotate(self, part: Any, rotary: tuple[Any, Any]) -> Any:
        cosines, sines = rotary
        first, second = part.chunk(2, dim=-1)
        return part * cosines + self.torch.cat([-second, first], dim=-1) * sines

    def _feed_forward(self, hidden: Any, name: str) -> Any:
        gate = self.torch.nn.functional.silu(hidden @ self._weight(f"{name}.c_fc1.weight").T)
        return (gate * (hidden @ self._weight(f"{name}.c_fc2.weight").T)) @ self._weight(
            f"{name}.c_proj.weight"
        ).T

    def _weight(self, name: str) -> Any:
        return self.weights[name]


if __name__ == "__main__":
    main()
