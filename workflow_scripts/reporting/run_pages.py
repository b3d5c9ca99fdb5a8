"""What MLflow shows of a run: from its record alone, the same while it runs and when it is brought up to date."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.privacy.credentials import OPEN_DATASETS
from workflow_scripts.runtime.hashing import file_hash
from workflow_scripts.tracking.contents import Contents, DataSet
from workflow_scripts.tracking.names import plain

Record = Mapping[str, Any]

GROUPS = (
    ("counts", "{}"),
    ("parameters", "{}_parameters"),
    ("seconds", "{}_seconds"),
    ("memory", "{}"),
    ("cost", "{}"),
)
"""Groups of the record's numbers, and what their metrics are called (docs/browsing-runs.md lists them)."""

TRAINING = ("steps", "best_step", "best_validation_loss", "learning_rate")
CURVES = ("train_loss", "validation_loss")
ERRORS = {"mse": "MSE, scaled series", "mae": "mean absolute error, {unit}", "wql": "weighted quantile loss"}


def run_contents(record: Record, folder: Path, stand_in: bool, figures: Path | None = None) -> Contents:
    """Return a run's page.

    Args:
        record: run.json.
        folder: where it lies, the adapter beside it.
        stand_in: whether the model's weights only stand in for published ones.
        figures: folder of the run's figures.
    """
    key, training = record["key"], record["training"] or {}
    artifacts = {"record": folder / "run.json", "adapter": folder / "adapter"}
    return Contents(
        metrics=run_metrics(record),
        curves={name: training.get(name, []) for name in CURVES},
        artifacts=artifacts | ({"figures": figures} if figures else {}),
        tags={
            "family": record["family"],
            "method": method_of(record),
            "rank": record["rank"],
            "data": data_kind(str(key["dataset"])),
            "git_commit": record["git_commit"],
            **{f"hash.{name}": value for name, value in record["hashes"].items()},
        },
        parameters=record["settings"],
        description=_description(record, stand_in),
        dataset=data_set(record),
        failure=record.get("failure") or "",
        record=file_hash(folder / "run.json"),
    )


def run_metrics(record: Record) -> dict[str, float | None]:
    """The record's numbers under stable names: mse, trainable_parameters, training_seconds, …"""
    flat = dict(record["metrics"])
    for group, pattern in GROUPS:
        flat |= {pattern.format(name): value for name, value in record.get(group, {}).items()}
    training = record["training"] or {}
    return flat | {name: training[name] for name in TRAINING if name in training}


def method_of(record: Record) -> str:
    """The method of a run's arm: `lora` of `lora-r4`."""
    return Arm.parse(record["key"]["arm"]).method


def data_kind(dataset: str) -> str:
    """`open`, or `credentialed`: whoever may not have the data may not have what was trained on it either."""
    return "open" if dataset in OPEN_DATASETS else "credentialed"


def data_set(record: Record) -> DataSet:
    """The windows that a run saw: a name, a hash and counts, no row."""
    key = record["key"]
    return DataSet(
        name=f"{key['dataset']} · {key['cohort']} · {plain(key['vital'])}",
        digest=record["hashes"]["windows"],
        source=f"data/{key['dataset']}/windows/{key['cohort']}/{key['vital']}.parquet",
        counts={name: value for name, value in record["counts"].items() if name != "non_finite_windows"},
    )


def cautions(dataset: str, stand_in: bool, model: str = "") -> str:
    """What the numbers are not: a Markdown paragraph, empty where there is nothing to say."""
    said = []
    if stand_in:
        said.append(
            f"{model or 'A nano model'} is a **stand-in**: small, pre-trained for minutes on synthetic series. "
            "Its errors say nothing about published weights."
        )
    if dataset.startswith("simulated"):
        said.append("The patients are **simulated**: no number here says anything about real ones.")
    elif dataset == "mimic-iii-demo":
        said.append("The open demo holds 100 patients: **far too few** for a conclusion.")
    elif data_kind(dataset) == "credentialed":
        said.append(
            "Trained on **credentialed data**: adapters may be shared only as its data use agreement allows."
        )
    return "\n\n".join(said)


def number(value: float | None) -> str:
    """Four significant digits."""
    return "–" if value is None else f"{value:.4g}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], largest: int = 4000) -> str:
    """A Markdown table; rows that MLflow's texts have no room for are counted."""
    lines = [_row(head), "|---" * len(head) + "|"]
    for position, row in enumerate(rows):
        if sum(map(len, lines)) + len(_row(row)) > largest:
            return "\n".join(lines) + f"\n\n… and {len(rows) - position} more."
        lines.append(_row(row))
    return "\n".join(lines) if rows else ""


def _row(cells: Sequence[str]) -> str:
    """MLflow's pages give cells no room between them."""
    return f"| {'&emsp;| '.join(cells)}&emsp;|"


def _description(record: Record, stand_in: bool) -> str:
    key, counts, unit = (
        record["key"],
        record["counts"],
        record.get("windows", {}).get("unit", "unit of the sign"),
    )
    parts = [
        f"**{key['model']}**, arm **{key['arm']}**, seed {key['seed']}: forecasts of {plain(key['vital'])} in "
        f"cohort {key['cohort']} of {key['dataset']}, scored on {counts['test_windows']} windows of "
        f"{counts['test_patients']} patients that it never trained on."
    ]
    if record.get("failure"):
        parts.append(f"**It failed:** {record['failure']}")
    rows = [[label.format(unit=unit), number(record["metrics"].get(name))] for name, label in ERRORS.items()]
    parts.append(table(["on the test windows", ""], rows))
    training = record["training"]
    if training:
        parts.append(
            f"The weights are those of step {training['best_step']}, where the validation loss was smallest "
            f"({number(training['best_validation_loss'])})."
        )
    parts.append(cautions(str(key["dataset"]), stand_in, str(key["model"])))
    return "\n\n".join(filter(None, parts))
