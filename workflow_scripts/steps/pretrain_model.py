"""Stand-ins for published weights, pre-trained on synthetic series."""

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from typer import Option

from workflow_scripts.evaluation.metrics import score
from workflow_scripts.models.baselines import forecast_baseline
from workflow_scripts.models.classical import forecast_each
from workflow_scripts.models.corpus import HELD_OUT_FAMILIES, TRAINING_FAMILIES, Corpus, synthesise
from workflow_scripts.models.parameters import PretrainingParameters
from workflow_scripts.models.registry import STAND_INS, family_class, variant
from workflow_scripts.models.weights import write_provenance
from workflow_scripts.runtime.device import lease_device
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import atomic_folder, require_own_folder, write_text
from workflow_scripts.runtime.machine import machine, versions
from workflow_scripts.runtime.step import read_settings, run_step
from workflow_scripts.training.data import WindowArrays

if TYPE_CHECKING:
    from workflow_scripts.models.interface import ForecastModel
    from workflow_scripts.training.loop import History

WARNING = (
    "A stand-in: a small model pre-trained for minutes on synthetic series, so that every part of the "
    "pipeline runs offline. Its errors say nothing about the published models of its family."
)
_VALIDATION_SERIES = 1024
_EVALUATIONS = 20
_DAY = 24
CLASSICAL_MODELS = {"seasonal-naive": "SeasonalNaive", "auto-ets": "AutoETS"}
"""The models of statsforecast, fitted with a season of a day, that the scores are compared with: name -> class."""

Scores = dict[str, dict[str, float]]
"""Held-out family -> forecaster -> weighted quantile loss."""


def pretrain_model(
    model: Annotated[str, Option(metavar="NAME", help=f"one of: {', '.join(STAND_INS)}")],
    settings: Annotated[
        Path,
        Option(help="settings file of this step (JSON), as the workflow writes it: the group `pretraining`"),
    ],
    output: Annotated[Path, Option(help="folder to write")],
    device: Annotated[
        Literal["cpu", "gpu"],
        Option(help="cpu: the same weights on every run; gpu: the same recipe, not the same digits"),
    ] = "cpu",
) -> None:
    """Pre-train one embedded nano model on synthetic series: a small stand-in for published weights.

    Example:
        python -m workflow_scripts.steps.pretrain_model --model moirai-nano \\
            --settings weights/pretrained/settings/pretrain_model.moirai-nano.json \\
            --output weights/pretrained/moirai-nano
    """
    require_own_folder(output)
    parameters = PretrainingParameters(**read_settings(settings)["pretraining"])
    if device == "cpu":
        pretrain(model, parameters, output)
        return
    with lease_device() as leased:
        if leased.torch_name == "cpu":
            raise UserError("--device gpu", "no GPU on this machine", "a GPU", "use --device cpu")
        pretrain(model, parameters, output, leased.torch_name)


def pretrain(model: str, parameters: PretrainingParameters, output: Path, device: str = "cpu") -> None:
    """Train a nano variant from random weights; write weights, configuration, model card and provenance.json.

    On CPU the same parameters give the same weights, also where an earlier call was interrupted: its last
    checkpoint is kept beside `output` until the folder is written.
    Raises UserError where the variant is not embedded.
    """
    import torch

    chosen = variant(model)
    if not chosen.stand_in:
        raise UserError(
            f"model {model}",
            "a published model",
            "an embedded one, whose name ends in -nano",
            "prepare its weights from a local folder or the hub instead",
        )
    started = time.perf_counter()
    built = family_class(chosen.family).create(chosen.sizes, parameters.seed)
    built.module.to(device)
    checkpoints = output.with_name(f".{output.name}.checkpoint")
    history = _train(built, parameters, torch.device(device), checkpoints)
    seconds = round(time.perf_counter() - started, 1)
    built.module.to("cpu")
    scores = held_out_scores(built, parameters)
    record = _record(parameters, history, seconds, scores)
    with atomic_folder(output) as folder:
        built.save(folder)
        write_text(folder / "README.md", model_card(model, chosen.licence, record))
        write_provenance(chosen, folder, record)
    shutil.rmtree(checkpoints, ignore_errors=True)
    print(f"{model}: validation loss {history.best_validation_loss:.4f} after {seconds} s")
    print("\n".join(_score_table(scores)))


def _train(
    model: "ForecastModel", parameters: PretrainingParameters, device: Any, checkpoints: Path
) -> "History":
    from workflow_scripts.training.loop import fit
    from workflow_scripts.training.parameters import TrainingParameters

    budget = TrainingParameters(
        steps=parameters.steps,
        batch_size=parameters.batch_size,
        learning_rate=parameters.learning_rate,
        weight_decay=0.01,
        evaluate_every=max(1, parameters.steps // _EVALUATIONS),
        # The whole budget is used: the rate falls to its end.
        patience=parameters.steps,
    )
    checked = min(_VALIDATION_SERIES, parameters.series)
    train = _windows(synthesise(TRAINING_FAMILIES, parameters.series, parameters.seed))
    validation = _windows(synthesise(TRAINING_FAMILIES, checked, parameters.seed + 1))
    return fit(model, train, validation, budget, parameters.seed, device, checkpoints)


def _windows(corpus: Corpus) -> WindowArrays:
    return WindowArrays(corpus.context, corpus.target, corpus.start, corpus.step)


def held_out_scores(model: "ForecastModel", parameters: PretrainingParameters) -> Scores:
    """Zero-shot weighted quantile loss on families that training never saw, beside that of baselines.

    Context 72, horizon 12, every value observed, each series divided by its standard deviation, so that no unit
    weighs more than another. Quantiles 0.1 to 0.9 of 50 sample paths; the baselines' intervals are exact.
    """
    import statsforecast.models
    import torch

    from workflow_scripts.training.forecasting import forecast
    from workflow_scripts.training.parameters import ForecastParameters

    # The cards of the embedded models were scored by independent samples.
    drawing = ForecastParameters(samples=50, protocol="paper")
    levels, horizon = drawing.quantiles, 12
    scores: Scores = {}
    for family in HELD_OUT_FAMILIES:
        drawn = synthesise(
            (family,), parameters.scored_series, parameters.seed + 2, 72, horizon, complete=True
        )
        spread = np.concatenate((drawn.context, drawn.target), axis=1).std(axis=1, keepdims=True)
        spread = np.maximum(spread, 1e-9)
        rows = np.arange(len(spread))
        forecasts = {
            "model": forecast(model, _windows(drawn), rows, drawing, parameters.seed, torch.device("cpu")),
            "persistence": forecast_baseline("persistence", drawn.context, horizon, levels, drawn.step // 60),
        }
        for name, model_class in CLASSICAL_MODELS.items():
            fitted = getattr(statsforecast.models, model_class)(_DAY)
            forecasts[name] = forecast_each(fitted, drawn.context, horizon, levels)
        scores[family] = {}
        for name, quantiles in forecasts.items():
            found = score(drawn.target / spread, quantiles / spread[:, None], levels, 0, 1).metrics["wql"]
            if found is None:
                raise UserError(
                    f"scores of {name} on {family}",
                    "a forecast that is not finite",
                    "finite forecasts",
                    "lower pretraining.learning_rate",
                )
            scores[family][name] = found
    return scores


def _record(
    parameters: PretrainingParameters, history: "History", seconds: float, scores: Scores
) -> dict[str, Any]:
    """What provenance.json and the model card say of the making."""
    made_with = ("torch", "transformers", "uni2ts", "numpy", "statsforecast")
    computer = machine()
    return {
        "source": "embedded: pre-trained by pretrain_model.py",
        "warning": WARNING,
        "recipe": parameters.model_dump(),
        "training_families": list(TRAINING_FAMILIES),
        "validation_loss": history.best_validation_loss,
        "best_step": history.best_step,
        "held_out_weighted_quantile_loss": scores,
        "seconds": seconds,
        "machine": {name: computer[name] for name in ("processor", "cores", "gpu")},
        "versions": versions(made_with),
    }


def model_card(name: str, licence: str, record: dict[str, Any]) -> str:
    """The README.md of a folder of weights: what it is, how it was made, how well it does, what it is not."""
    recipe, computer = record["recipe"], record["machine"]
    device = computer["gpu"] or f"one thread of {computer['processor']} ({computer['cores']} cores)"
    return "\n".join(
        [
            f"# {name}",
            "",
            record["warning"],
            "",
            f"- **Training data**: {recipe['series']:,} synthetic hourly series of {len(TRAINING_FAMILIES)} families "
            f"({', '.join(record['training_families'])}), context 72, horizon 24, made by "
            "`workflow_scripts/models/corpus/`. No patient data.",
            f"- **Recipe**: {recipe['steps']:,} steps of {recipe['batch_size']} series, AdamW, peak learning rate "
            f"{recipe['learning_rate']:g}, warm-up and cosine decay, seed {recipe['seed']}; the best weights of "
            f"{_EVALUATIONS} validations (step {record['best_step']:,}, loss {record['validation_loss']:.4f}).",
            f"- **Cost**: {record['seconds'] / 60:.0f} minutes on {device}, shared with other work.",
            "- **Again**: `snakemake pretrain` writes the same recipe's result to `weights/pretrained/`.",
            f"- **Licence**: {licence}",
            "",
            "## Zero-shot scores on families that it was never trained on",
            "",
            "Weighted quantile loss (levels 0.1 to 0.9), lower is better: context 72, horizon 12, "
            f"{recipe['scored_series']} series a family, each divided by its standard deviation. Season of 24 for "
            "seasonal-naive and AutoETS (statsforecast).",
            "",
            *_score_table(record["held_out_weighted_quantile_loss"]),
            "",
            "## Limits",
            "",
            "Trained on contexts of at most 72 and horizons of at most 24 hourly points, one variable, no covariates. "
            "It knows no physiology. It is not for clinical use, and no measure of the published models. "
            "docs/nano-models.md tells how it does on the open MIMIC-III demo.",
            "",
        ]
    )


def _score_table(scores: Scores) -> list[str]:
    """Markdown rows, family by family, and the geometric mean of the model's loss relative to each baseline."""
    names = list(next(iter(scores.values())))
    rows = [
        f"| {family} | " + " | ".join(f"{losses[name]:.4f}" for name in names) + " |"
        for family, losses in scores.items()
    ]
    ratios = [
        np.exp(np.mean([np.log(losses["model"] / losses[name]) for losses in scores.values()]))
        for name in names
    ]
    return [
        f"| family | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
        *rows,
        "| model / column, geometric mean | " + " | ".join(f"{ratio:.3f}" for ratio in ratios) + " |",
    ]


if __name__ == "__main__":
    run_step(pretrain_model)
