"""One run of the study: one arm of one model on one cohort and vital sign."""

import shutil
from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.evaluation.events.run_paths import (
    EVENT_PATHS,
    Joint,
    path_probabilities,
    write_path_probabilities,
)
from workflow_scripts.evaluation.forecasts import FORECASTS, VALIDATION_FORECASTS, write_forecasts
from workflow_scripts.evaluation.recording import collect_provenance, record_run
from workflow_scripts.evaluation.run_record import RunHashes, RunKey
from workflow_scripts.models.baselines import BASELINES
from workflow_scripts.models.weights import WEIGHTS
from workflow_scripts.runtime.files import claim_folder, read_json
from workflow_scripts.runtime.hashing import file_hash, folder_hash
from workflow_scripts.runtime.process import began, terminable, was_forked
from workflow_scripts.runtime.step import read_settings, run_step
from workflow_scripts.training.run import (
    ADAPTER,
    CHECKPOINTS,
    Outcome,
    RunJob,
    RunParameters,
    run_baseline,
    run_model,
)


def run_arm(
    dataset: Annotated[str, Option(help="name of the data set, for the record")],
    cohort: Annotated[str, Option(help="name of the cohort, for the record")],
    vital: Annotated[str, Option(help="name of the vital sign, for the record")],
    model: Annotated[str, Option(help="a variant of models/registry.py, or a baseline")],
    arm: Annotated[str, Option(help="an arm of docs/methods.md, as lora-r2; `baseline` for a baseline")],
    seed: Annotated[int, Option(help="seed of adapter, data order and forecasts")],
    windows: Annotated[Path, Option(help="Parquet file of windows")],
    settings: Annotated[Path, Option(help="settings file of this step (JSON)")],
    output: Annotated[Path, Option(help="folder to write: the run's results, run.json last")],
    weights: Annotated[
        Path | None, Option(help="folder of the base weights, for a model that has some")
    ] = None,
) -> None:
    """Run one arm of one model on one cohort and vital sign: adapt, forecast, score, record.

    Example:
        python -m workflow_scripts.steps.run_arm --dataset simulated --cohort explicit --vital heart_rate \\
            --model chronos-t5-nano --arm lora-r2 --seed 0 --weights weights/prepared/chronos-t5-nano \\
            --windows data/simulated/windows/explicit/heart_rate.parquet \\
            --settings results/simulated/runs/settings/run_arm.chronos.lora.json --output my-run
    """
    claim_folder(output)
    read = read_settings(settings)
    groups = {name: read[name] for name in RunParameters.model_fields if name in read}
    weights_hash = file_hash(weights / WEIGHTS) if weights else None
    job = RunJob(dataset, model, Arm.parse(arm), seed, weights, RunParameters(**groups), weights_hash)
    provenance = collect_provenance(forked=was_forked())
    made_of = {
        "code": read_json(settings)["code"],
        "windows": file_hash(windows),
        "weights": weights_hash,
    }
    with terminable():
        if model in BASELINES:
            outcome = run_baseline(job, windows, began())
        else:
            outcome = run_model(job, windows, output, began())
        forecasts, validation = output / FORECASTS, output / VALIDATION_FORECASTS
        levels, adapter = job.parameters.forecast.quantiles, output / ADAPTER
        write_forecasts(forecasts, outcome.test.window_id, outcome.quantiles, levels)
        write_forecasts(validation, outcome.validation.window_id, outcome.validation_quantiles, levels)
        joint = _write_paths(output / EVENT_PATHS, outcome)
        # Hashes of what is written, so that a later change of a file is seen (verify_results).
        hashes = RunHashes(
            **made_of,
            source=outcome.test.metadata.source,
            forecasts=file_hash(forecasts),
            validation_forecasts=file_hash(validation),
            event_paths=file_hash(output / EVENT_PATHS) if joint[0] is not None else None,
            adapter=folder_hash(adapter) if adapter.is_dir() else None,
        )
        key = RunKey(dataset=dataset, cohort=cohort, vital=vital, model=model, arm=arm, seed=seed)
        record_run(key, outcome, read, hashes, provenance, began(), joint).write(output / "run.json")
        shutil.rmtree(output / CHECKPOINTS, ignore_errors=True)


def _write_paths(path: Path, outcome: Outcome) -> tuple[Joint | None, Joint | None]:
    """Write the events' probabilities from the model's paths, and return them; without paths there is no file."""
    if outcome.paths is None or outcome.validation_paths is None:
        path.unlink(missing_ok=True)
        return None, None
    test = path_probabilities(outcome.test, outcome.paths)
    validation = path_probabilities(outcome.validation, outcome.validation_paths)
    write_path_probabilities(path, [(outcome.test, test), (outcome.validation, validation)])
    return test, validation


if __name__ == "__main__":
    run_step(run_arm)
