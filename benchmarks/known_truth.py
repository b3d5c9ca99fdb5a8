"""What the study says where the truth is known: a shift that was planted, and differences that are not there.

Planted shift: a constant is added to every target (in training, validation and test), the contexts stay. Zero-shot
must then miss by it, an adapted model must learn it, and the comparisons must call the difference. Reported are the
bias (median forecast less truth, mean over observed points) and how much of the shift was recovered.

Null test: arms that are the same but for their seeds, compared as the report compares arms. Every claim is a false
alarm; their share is held against the nominal level. A family is one pair of seed groups of all models and arms on
one vital sign, corrected by Holm's method as in the report. Seeds are disjoint, so pairs share only the patients.

Training, forecast and statistics are the study's own, with its defaults but for Lag-Llama's faster sampler. Libraries
are imported once, not for every run.

    snakemake --cores all --configfile params/simulated.yaml -- data
    python -m benchmarks.known_truth --json known_truth.json
    python -m benchmarks.known_truth --models moirai-nano --steps 5 --shift-seeds 1 --null-seeds 2 --chance-seeds 2
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import asdict, dataclass, replace
from io import StringIO
from itertools import islice, starmap
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from typer import Argument, Option

from benchmarks import harness
from workflow_scripts.adaptation.adapting import adapt
from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.evaluation.bootstrap import draw_patients, resample_patients, resample_seeds
from workflow_scripts.evaluation.comparison import compare, holm, interval
from workflow_scripts.evaluation.forecasts import write_forecasts
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.patient_sums import (
    RESAMPLED,
    PatientSums,
    score_windows,
    sum_by_patient,
    sum_rows,
)
from workflow_scripts.models.registry import variant
from workflow_scripts.models.sources import EMBEDDED_FOLDER
from workflow_scripts.reporting.known_truth import known_truth_text
from workflow_scripts.reporting.statistics import claim
from workflow_scripts.runtime.files import write_json
from workflow_scripts.runtime.machine import machine, versions
from workflow_scripts.training.data import window_arrays
from workflow_scripts.training.parameters import ForecastParameters, TrainingParameters
from workflow_scripts.windows.reading import Windows, read_windows

SHIFTED_ARMS = ("zero-shot", "lora-r2", "lora-r8", "full")
WINDOWS = tuple(
    Path(f"data/simulated/windows/sepsis3/{vital}.parquet") for vital in ("heart_rate", "mean_blood_pressure")
)
STATISTICS = EvaluationParameters()
LEVEL = 1 - STATISTICS.confidence

Array = NDArray[np.float64]
RunAll = Callable[[Windows, Sequence[str], int], "dict[tuple[str, str], list[Run]]"]
"""windows, arms, seeds. Returns all seeds of all models, by model and arm."""


@dataclass(frozen=True)
class Sample:
    """A number over all test patients and its replicates [resamples]."""

    value: float
    replicates: Array

    def cells(self, name: str) -> dict[str, float]:
        """The number and its interval under this name."""
        low, high = interval(self.replicates, STATISTICS.confidence)
        return {name: self.value, f"{name}_low": low, f"{name}_high": high}


@dataclass(frozen=True)
class Run:
    """One run's MSE and bias: each a value, and replicates [resamples] over patients alone."""

    seed: int
    mse: Sample
    bias: Sample


@dataclass(frozen=True)
class Comparison:
    """The MSE of an arm less that of another, with what the report's claims are made of."""

    model: str
    arm: str
    against_arm: str
    difference: float
    low: float
    high: float
    p_value: float
    p_holm: float | None = None


def known_truth(
    windows: Annotated[list[Path], Argument(help="files of windows; the first is shifted")] = WINDOWS,
    models: harness.Models = harness.NANO,
    weights: Annotated[Path, Option(help="folder of their weights")] = EMBEDDED_FOLDER,
    shift: Annotated[float, Option(help="what is added, in the vital sign's unit")] = 10.0,
    shift_seeds: Annotated[int, Option(help="seeds of each arm on shifted targets")] = 3,
    null_arms: Annotated[list[str], Option(help="an arm that is compared with itself")] = ("lora-r2",),
    null_seeds: Annotated[int, Option(help="seeds of each of them")] = 12,
    chance_seeds: Annotated[int, Option(help="the same for zero-shot: forecasts' seeds")] = 20,
    groups: Annotated[list[int], Option(help="seeds in an arm that is compared")] = (1, 3),
    steps: Annotated[int, Option(help="most optimiser steps")] = TrainingParameters().steps,
    jobs: Annotated[int, Option(help="processes; changes no result")] = 2,
    json: Annotated[Path | None, Option(help="also write the results to this file")] = None,
) -> None:
    """Plant a shift, compare equal arms, and print what the study says of both."""
    shifted = read_windows(windows[0])
    null: list[harness.Row] = []
    with _workers(jobs, list(models), weights, steps) as run_all:
        rows, comparisons = planted(shifted, shift, shift_seeds, run_all)
        for arms, seeds in ((["zero-shot"], chance_seeds), (null_arms, null_seeds)):
            tasks = [list(run_all(read, arms, seeds).values()) for read in map(read_windows, windows)]
            sizes = [size for size in groups if seeds >= 2 * size]
            null += [null_row(", ".join(arms), tasks, size) for size in sizes]
    found = {
        "shift": rows,
        "comparisons": [asdict(row) | {"claim": claim(row, LEVEL)} for row in comparisons],
        "null": null,
        "planted": shift,
        "unit": shifted.metadata.unit,
        "vital": shifted.metadata.vital,
        "vitals": [read_windows(path, ("test",)).metadata.vital for path in windows],
        "models": list(models),
        "null_arms": list(null_arms),
        "steps": steps,
        "seeds": {"shift": shift_seeds, "null": null_seeds, "chance": chance_seeds},
        "patients": {
            split: len(np.unique(shifted.select(split).subject_id))
            for split in ("train", "validation", "test")
        },
        "test_windows": len(shifted.select("test")),
        "confidence": STATISTICS.confidence,
        "machine": machine(),
        "versions": versions(("torch", "numpy")),
    }
    if json:
        write_json(json, found)
    print(known_truth_text(found))


@contextmanager
def _workers(jobs: int, models: list[str], weights: Path, steps: int) -> Iterator[RunAll]:
    """What makes many runs: in this process, or in several that import the libraries once."""
    harness.one_thread()
    with get_context("fork").Pool(jobs) if jobs > 1 else nullcontext() as pool:

        def run_all(windows: Windows, arms: Sequence[str], seeds: int) -> dict[tuple[str, str], list[Run]]:
            names = [(model, arm) for model in models for arm in arms]
            cases = [
                (windows, model, weights / model, arm, seed, steps)
                for model, arm in names
                for seed in range(seeds)
            ]
            runs = iter(pool.starmap(make_run, cases, chunksize=1) if pool else starmap(make_run, cases))
            return {name: list(islice(runs, seeds)) for name in names}

        yield run_all


def planted(
    windows: Windows, shift: float, seeds: int, run_all: RunAll
) -> tuple[list[harness.Row], list[Comparison]]:
    """What each arm makes of shifted targets; and each trained arm against zero-shot, each LoRA against full."""
    runs = run_all(replace(windows, target=windows.target + np.float32(shift)), SHIFTED_ARMS, seeds)
    rows = [
        _shift_row(model, arm, own, runs[model, "zero-shot"], shift) for (model, arm), own in runs.items()
    ]
    compared = [
        _comparison(model, arm, own, runs[model, against], against)
        for against in ("zero-shot", "full")
        for (model, arm), own in runs.items()
        if arm not in ("zero-shot", against)
    ]
    return rows, _corrected(compared)


def _shift_row(model: str, arm: str, runs: Sequence[Run], base: Sequence[Run], shift: float) -> harness.Row:
    """One arm on the shifted targets. recovered: its bias less zero-shot's, as a share of the shift."""
    bias, unadapted = _over_seeds(runs, "bias"), _over_seeds(base, "bias")
    gained = Sample((bias.value - unadapted.value) / shift, (bias.replicates - unadapted.replicates) / shift)
    return {"model": model, "arm": arm, **bias.cells("bias"), **gained.cells("recovered")}


def null_row(name: str, tasks: Sequence[Sequence[Sequence[Run]]], size: int) -> harness.Row:
    """Compare groups of `size` seeds, 0 with 1, 2 with 3 and so on; one family for each vital sign and pair.

    alarms: intervals without zero; claims: what the report would claim, after Holm; families: of `pairs`; claiming:
    families with at least one claim.
    """
    families = []
    for arms in tasks:
        groups = [
            [runs[first : first + size] for first in range(0, len(runs) - size + 1, size)] for runs in arms
        ]
        for pair in range(len(groups[0]) // 2):
            compared = [_comparison(name, name, of[2 * pair], of[2 * pair + 1]) for of in groups]
            families.append(_corrected(compared))
    claims = [[claim(row, LEVEL) in ("lower", "higher") for row in family] for family in families]
    return {
        "arm": name,
        "seeds": size,
        "pairs": sum(map(len, families)),
        "alarms": sum(row.low * row.high > 0 for family in families for row in family),
        "claims": sum(map(sum, claims)),
        "families": len(families),
        "claiming": sum(map(any, claims)),
    }


def _comparison(
    model: str, arm: str, runs: Sequence[Run], others: Sequence[Run], against: str = ""
) -> Comparison:
    """The MSE of two arms as the report compares it, before Holm's correction."""
    ours, theirs = _over_seeds(runs, "mse"), _over_seeds(others, "mse")
    found = compare(ours.value, theirs.value, ours.replicates, theirs.replicates, STATISTICS.confidence)
    return Comparison(model, arm, against, found.value, found.low, found.high, found.p_value)


def _corrected(rows: Sequence[Comparison]) -> list[Comparison]:
    """One family, with Holm's correction."""
    return [replace(row, p_holm=p) for row, p in zip(rows, holm([row.p_value for row in rows]), strict=True)]


def _over_seeds(runs: Sequence[Run], name: str) -> Sample:
    """The mean over seeds, and its replicates over patients and seeds."""
    samples = [getattr(run, name) for run in runs]
    stacked = np.stack([sample.replicates for sample in samples], axis=1)[:, :, None]
    replicates = resample_seeds(stacked, [run.seed for run in runs], STATISTICS.seed)[:, 0]
    return Sample(float(np.mean([sample.value for sample in samples])), replicates)


def make_run(windows: Windows, model: str, weights: Path, arm: str, seed: int, steps: int) -> Run:
    """Adapt, forecast, score: what one job of the study does."""
    test, levels = windows.select("test"), ForecastParameters().quantiles
    quantiles = _forecast(windows, model, weights, Arm.parse(arm), seed, steps)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "forecasts.parquet"
        write_forecasts(path, test.window_id, quantiles, levels)
        scores = score_windows(path, test)
    error = quantiles[:, levels.index(0.5)].astype(np.float64) - test.target
    observed = ~np.isnan(error)
    bias = sum_rows(
        scores.patient,
        [np.where(observed, error, 0.0).sum(axis=1, keepdims=True)],
        observed.sum(axis=1, keepdims=True).astype(np.float64),
    )
    return Run(seed, _sample(sum_by_patient([scores]), RESAMPLED.index("mse")), _sample(bias, 0))


def _sample(sums: PatientSums, metric: int) -> Sample:
    draws = draw_patients(sums.patients, STATISTICS.resamples, STATISTICS.seed)
    return Sample(float(sums.metrics()[0, metric]), resample_patients(sums, draws)[:, 0, metric])


def _forecast(
    windows: Windows, model_name: str, weights: Path, arm: Arm, seed: int, steps: int
) -> NDArray[np.float32]:
    """Quantiles of the test windows in natural units, [windows, levels, horizon]."""
    import torch

    from workflow_scripts.training.forecasting import forecast
    from workflow_scripts.training.inference import SavedModel, load_saved_model
    from workflow_scripts.training.loop import fit

    entry, device, test = variant(model_name), torch.device("cpu"), windows.select("test")
    forecasting = ForecastParameters(lag_llama_sampler="frozen")
    model = load_saved_model(SavedModel(entry, weights), forecasting, device)
    hooks = adapt(model, arm, AdaptationParameters(), seed, steps)
    with redirect_stderr(StringIO()):  # Hundreds of progress lines would be no news.
        if arm.trains:
            splits = (window_arrays(windows.select(split), entry) for split in ("train", "validation"))
            fit(model, *splits, TrainingParameters(steps=steps), seed, device, hooks=hooks)
        return forecast(model, window_arrays(test, entry), test.window_id, forecasting, seed, device)


app = harness.command_line(known_truth)

if __name__ == "__main__":
    harness.run(app)
