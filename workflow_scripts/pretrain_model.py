"""Pre-train one embedded nano model on synthetic series: a small stand-in for published weights."""

import argparse
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.models.corpus import HELD_OUT_FAMILIES, TRAINING_FAMILIES, Corpus, synthesise
from workflow_scripts.models.parameters import PretrainingParameters
from workflow_scripts.models.registry import family_class, variant, variant_names
from workflow_scripts.models.weights import write_provenance
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import atomic_folder
from workflow_scripts.runtime.step import read_settings, run_step
from workflow_scripts.training.data import WindowArrays

if TYPE_CHECKING:
    from workflow_scripts.models.interface import ForecastModel
    from workflow_scripts.training.loop import History

WARNING = (
    "A stand-in: a small model pre-trained for about a minute on synthetic series, so that every part of the "
    "pipeline runs offline. Its errors say nothing about the published models of its family."
)
_VALIDATION_SERIES = 256
_CHECKED_SERIES, _CHECKED_CONTEXT, _CHECKED_HORIZON, _CHECKED_SAMPLES = 100, 24, 12, 20


def main() -> None:
    """Parse the command line, train, and write the folder whole or not at all."""
    embedded = [name for name in variant_names() if variant(name).hub_id is None]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, metavar="NAME", help=f"one of: {', '.join(embedded)}")
    parser.add_argument("--settings", required=True, type=Path, help="JSON with the group 'pretraining'")
    parser.add_argument("--output", required=True, type=Path, help="folder to write, weights/<model>")
    arguments = parser.parse_args()
    parameters = PretrainingParameters(**read_settings(arguments.settings)["pretraining"])
    pretrain(arguments.model, parameters, arguments.output)


def pretrain(model: str, parameters: PretrainingParameters, output: Path) -> None:
    """Train a nano variant from random weights; write weights, configuration and provenance.json.

    On CPU the same parameters give the same weights. Raises UserError where the variant is not embedded.
    """
    import torch

    chosen = variant(model)
    if chosen.hub_id is not None:
        raise UserError(
            f"model {model}",
            "a published model",
            "an embedded one, whose name ends in -nano",
            "prepare its weights from a local folder or the hub instead",
        )
    # The recipe is small; the CPU makes it the same on every machine.
    device = torch.device("cpu")
    started = time.perf_counter()
    built = family_class(chosen.family).create(chosen.sizes, parameters.seed)
    history = _train(built, parameters, device)
    seconds = round(time.perf_counter() - started, 1)
    check = held_out_errors(built, parameters.seed + 2)
    with atomic_folder(output) as folder:
        built.save(folder)
        write_provenance(chosen, folder, _origin(parameters, history, seconds, check))
    print(f"{model}: validation loss {history.best_validation_loss:.4f} after {seconds} s")
    for family, errors in check.items():
        print(f"  held out, {family}: " + ", ".join(f"{name} {error}" for name, error in errors.items()))


def _train(model: "ForecastModel", parameters: PretrainingParameters, device: Any) -> "History":
    from workflow_scripts.training.loop import fit
    from workflow_scripts.training.parameters import TrainingParameters

    evaluations = 10
    budget = TrainingParameters(
        steps=parameters.steps,
        batch_size=parameters.batch_size,
        learning_rate=parameters.learning_rate,
        weight_decay=0.01,
        evaluate_every=max(1, parameters.steps // evaluations),
        # The whole budget is used: the rate falls to its end.
        patience=parameters.steps,
    )
    train = _windows(synthesise(TRAINING_FAMILIES, parameters.series, parameters.seed))
    validation = _windows(synthesise(TRAINING_FAMILIES, _VALIDATION_SERIES, parameters.seed + 1))
    return fit(model, train, validation, budget, parameters.seed, device)


def _windows(corpus: Corpus) -> WindowArrays:
    return WindowArrays(corpus.context, corpus.target, corpus.start, corpus.step)


def held_out_errors(model: "ForecastModel", seed: int) -> dict[str, dict[str, float]]:
    """Zero-shot error on families that training never saw: family -> {model, persistence, mean of context}.

    Mean absolute error of the median of 20 samples, in standard deviations of each whole window;
    context 24, horizon 12.
    """
    import numpy as np
    import torch

    from workflow_scripts.models.interface import Series

    generator = torch.Generator().manual_seed(seed)
    shape = (_CHECKED_SERIES, _CHECKED_SAMPLES, _CHECKED_HORIZON)
    uniforms = torch.rand(shape, dtype=torch.float64, generator=generator).clamp(1e-12, 1 - 1e-12)
    errors = {}
    for family in HELD_OUT_FAMILIES:
        drawn = synthesise((family,), _CHECKED_SERIES, seed, _CHECKED_CONTEXT, _CHECKED_HORIZON)
        context = Series(torch.from_numpy(drawn.context), torch.from_numpy(drawn.start), drawn.step)
        spread = np.nanstd(np.concatenate((drawn.context, drawn.target), axis=1), axis=1, keepdims=True)
        forecasts = {
            "model": np.median(model.sample(context, uniforms).numpy(), axis=1),
            "persistence": drawn.context[:, -1:],
            "mean_of_context": np.nanmean(drawn.context, axis=1, keepdims=True),
        }
        errors[family] = {
            name: round(float(np.nanmean(np.abs(forecast - drawn.target) / np.maximum(spread, 1e-9))), 4)
            for name, forecast in forecasts.items()
        }
    return errors


def _origin(
    parameters: PretrainingParameters, history: "History", seconds: float, check: dict[str, dict[str, float]]
) -> dict[str, Any]:
    libraries = ("torch", "transformers", "uni2ts", "numpy")
    return {
        "source": "embedded: pre-trained by pretrain_model.py",
        "warning": WARNING,
        "recipe": parameters.model_dump(),
        "training_families": list(TRAINING_FAMILIES),
        "validation_loss": history.best_validation_loss,
        "best_step": history.best_step,
        "held_out_mae_in_standard_deviations": check,
        "seconds": seconds,
        "versions": {name: version(name) for name in libraries},
    }


if __name__ == "__main__":
    run_step(main)
