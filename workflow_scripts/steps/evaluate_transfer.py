"""An adapter of one cohort, evaluated on the test windows of another."""

import time
from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.adaptation.adapters import read_arm
from workflow_scripts.evaluation.forecasts import write_forecasts
from workflow_scripts.evaluation.recording import collect_provenance, record_transfer
from workflow_scripts.evaluation.run_record import RunRecord
from workflow_scripts.evaluation.sites import split_site
from workflow_scripts.evaluation.transfer_record import TransferHashes, TransferKey
from workflow_scripts.evaluation.transfer_windows import read_transfer_windows
from workflow_scripts.models.registry import variant
from workflow_scripts.models.weights import WEIGHTS
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import claim_folder, read_json
from workflow_scripts.runtime.hashing import file_hash, folder_hash
from workflow_scripts.runtime.process import began
from workflow_scripts.runtime.step import read_settings, run_step
from workflow_scripts.training.data import window_arrays
from workflow_scripts.training.parameters import ForecastParameters


def evaluate_transfer(
    dataset: Annotated[str, Option(help="name of the data set, for the record")],
    trained_on: Annotated[
        str, Option(help="name of the adapter's cohort, for the record; of another data set as eicu-demo.all")
    ],
    evaluated_on: Annotated[
        str, Option(help="name of the other cohort, for the record; of another data set as eicu-demo.all")
    ],
    vital: Annotated[str, Option(help="name of the vital sign, for the record")],
    model: Annotated[str, Option(help="base model of the adapter, as list_models names it")],
    arm: Annotated[str, Option(help="the adapter's arm, as lora-r2")],
    seed: Annotated[int, Option(help="seed of the adapter's run, and of the forecasts")],
    adapter: Annotated[Path, Option(help="folder `adapter` of the run")],
    weights: Annotated[Path, Option(help="folder of the base weights")],
    windows: Annotated[Path, Option(help="windows of the cohort to evaluate on (Parquet)")],
    own_windows: Annotated[
        Path,
        Option(
            help="windows of the adapter's cohort (Parquet): of its train and validation nobody may be tested on"
        ),
    ],
    settings: Annotated[Path, Option(help="settings file of this step (JSON)")],
    output: Annotated[Path, Option(help="folder to write: the results, record.json last")],
) -> None:
    """Evaluate the adapter that one cohort gave on the test windows of another cohort.

    Patients are split once for all cohorts of a data set. A test patient who is in train or validation of the
    adapter's own cohort is refused.

    Example:
        python -m workflow_scripts.steps.evaluate_transfer --dataset simulated --trained-on sepsis3 \\
            --evaluated-on explicit --vital heart_rate --model chronos-t5-nano --arm lora-r2 --seed 0 \\
            --adapter results/simulated/runs/sepsis3/heart_rate/chronos-t5-nano/lora-r2/seed0/adapter \\
            --weights weights/prepared/chronos-t5-nano \\
            --windows data/simulated/windows/explicit/heart_rate.parquet \\
            --own-windows data/simulated/windows/sepsis3/heart_rate.parquet \\
            --settings results/simulated/transfer/settings/evaluate_transfer.chronos.lora.json --output my-transfer
    """
    claim_folder(output)
    from workflow_scripts.training import forecasting, inference

    parameters = ForecastParameters(**read_settings(settings)["forecast"])
    same_dataset = split_site(trained_on, dataset)[0] == split_site(evaluated_on, dataset)[0]
    test = read_transfer_windows(windows, own_windows, same_dataset=same_dataset)
    entry = variant(model)
    failure = _training_failure(adapter)
    if not failure:
        _require_arm(adapter, model, arm)
    begun = time.perf_counter()
    arrays = window_arrays(test, entry)
    if failure:
        quantiles = forecasting.no_forecast(arrays, parameters)
    else:
        # Each window draws the same random numbers as in a run of its own cohort.
        saved = inference.SavedModel(entry, weights, adapter)
        quantiles = inference.forecast_with_saved(saved, arrays, test.window_id, parameters, seed)
    forecast_seconds = time.perf_counter() - begun
    forecasts = output / "forecasts.parquet"
    write_forecasts(forecasts, test.window_id, quantiles, parameters.quantiles)
    record = record_transfer(
        TransferKey(
            dataset=dataset,
            trained_on=trained_on,
            evaluated_on=evaluated_on,
            vital=vital,
            model=model,
            arm=arm,
            seed=seed,
        ),
        test,
        quantiles,
        {"forecast": parameters.model_dump(mode="json")},
        TransferHashes(
            code=read_json(settings)["code"],
            source=test.metadata.source,
            windows=file_hash(windows),
            own_windows=file_hash(own_windows),
            weights=file_hash(weights / WEIGHTS),
            adapter=None if failure else folder_hash(adapter),
            forecasts=file_hash(forecasts),
        ),
        collect_provenance(),
        began(),
        forecast_seconds,
        failure,
    )
    record.write(output / "record.json")


def _training_failure(adapter: Path) -> str:
    """Why the run beside the adapter could not train it; empty where it could, or where there is no record."""
    record = adapter.parent / "run.json"
    return RunRecord.read(record).failure if record.is_file() else ""


def _require_arm(adapter: Path, model: str, arm: str) -> None:
    """Raise UserError where the folder holds another arm, or that of another model."""
    saved = read_arm(adapter)
    if (saved.base, saved.arm.name) != (model, arm):
        raise UserError(
            str(adapter),
            f"{saved.arm.name} of {saved.base}",
            f"{arm} of {model}",
            "name the folder, the model and the arm of one run",
        )


if __name__ == "__main__":
    run_step(evaluate_transfer)
