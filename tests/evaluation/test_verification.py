"""A stored run or transfer is verified from its files: hashes, and metrics that are scored anew."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.study_records import run_record, write_record
from tests.helpers.some_windows import some_windows
from workflow_scripts.adaptation.arms import ZERO_SHOT
from workflow_scripts.evaluation.events.judging import judge_run_events
from workflow_scripts.evaluation.events.run_probabilities import Forecasts
from workflow_scripts.evaluation.forecasts import write_forecasts
from workflow_scripts.evaluation.metrics import score
from workflow_scripts.evaluation.verification import adapter_hash, verify_run, verify_transfer
from workflow_scripts.runtime.hashing import file_hash
from workflow_scripts.windows.reading import Windows

LEVELS = [0.1, 0.5, 0.9]
MADE_OF = {"code": "c0de" * 16, "source": "50ce" * 16, "windows": "da7a" * 16, "weights": "ba5e" * 16}


@pytest.fixture
def windows() -> Windows:
    """The test split; some targets were not observed."""
    found = some_windows().select("test")
    found.target[::3, 2] = np.nan
    return found


def validation() -> Windows:
    """The validation split."""
    return some_windows().select("validation")


def quantiles_of(windows: Windows) -> np.ndarray:
    """Forecasts around the context's last value, which the targets exceed by 10."""
    return np.stack([np.repeat(windows.context[:, -1:] + shift, 12, axis=1) for shift in (-5, 3, 11)], axis=1)


@pytest.fixture
def path(windows: Windows, tmp_path: Path) -> Path:
    """The run.json of a run whose files are as it wrote them."""
    quantiles = quantiles_of(windows)
    before, before_quantiles = validation(), quantiles_of(validation())
    events = judge_run_events(
        "chronos-t5-nano",
        ZERO_SHOT,
        Forecasts(windows, quantiles, LEVELS),
        Forecasts(before, before_quantiles, LEVELS),
    )
    record = run_record() | {
        "metrics": score(windows.target, quantiles, LEVELS, 0.0, 300.0).metrics,
        "validation_metrics": score(before.target, before_quantiles, LEVELS, 0.0, 300.0).metrics,
        "events": [result.model_dump(mode="json") for result in events],
    }
    path = write_record(tmp_path, record)
    write_forecasts(path.parent / "forecasts.parquet", windows.window_id, quantiles, LEVELS)
    write_forecasts(path.parent / "validation_forecasts.parquet", before.window_id, before_quantiles, LEVELS)
    (path.parent / "adapter").mkdir()
    (path.parent / "adapter" / "arm.json").write_text("{}")
    rewrite(path, lambda record: record["hashes"].update(hashes_of(path.parent)))
    return path


def hashes_of(folder: Path) -> dict[str, Any]:
    return {
        "forecasts": file_hash(folder / "forecasts.parquet"),
        "validation_forecasts": file_hash(folder / "validation_forecasts.parquet"),
        "adapter": adapter_hash(folder / "adapter"),
    }


def rewrite(path: Path, change: Any) -> None:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_nothing_is_wrong_with_a_run_whose_files_are_as_it_wrote_them(path: Path, windows: Windows) -> None:
    assert verify_run(path, windows, validation(), MADE_OF) == []


@pytest.mark.parametrize("name", ["code", "windows", "weights"])
def test_what_the_run_was_made_of_and_has_changed_is_named_with_both_hashes(
    path: Path, windows: Windows, name: str
) -> None:
    assert verify_run(path, windows, validation(), MADE_OF | {name: "0123456789abcdef" * 4}) == [
        f"{name}: recorded {MADE_OF[name][:12]}, now 0123456789ab"
    ]
    assert verify_run(path, windows, validation(), MADE_OF | {name: None}) == [
        f"{name}: recorded {MADE_OF[name][:12]}, now none"
    ]


@pytest.mark.parametrize(("change", "is_found"), [(1 + 1e-10, False), (1 + 1e-8, True), (1 - 1e-8, True)])
def test_a_metric_that_differs_by_more_than_rounding_is_found(
    path: Path, windows: Windows, change: float, is_found: bool
) -> None:
    def times(record: dict[str, Any]) -> None:
        record["metrics"]["mae"] *= change

    rewrite(path, times)
    problems = verify_run(path, windows, validation(), MADE_OF)
    assert [problem.partition(":")[0] for problem in problems] == (["mae"] if is_found else [])


def test_a_metric_that_is_defined_only_in_the_record_or_only_anew_is_found(
    path: Path, windows: Windows
) -> None:
    rewrite(path, lambda record: record["metrics"].update(wql=None))
    (problem,) = verify_run(path, windows, validation(), MADE_OF)
    assert problem.startswith("wql: recorded None, scored again 0.")


def test_a_figure_of_events_that_the_forecasts_do_not_give_is_found(path: Path, windows: Windows) -> None:
    record = json.loads(path.read_text())
    key = ("tachycardia", "onset", "at", 60)
    place = next(
        number
        for number, event in enumerate(record["events"])
        if tuple(event[name] for name in ("event", "population", "form", "lead_minutes")) == key
    )
    rewrite(path, lambda record: record["events"][place].update(brier=0.25))
    (problem,) = verify_run(path, windows, validation(), MADE_OF)
    assert problem == "tachycardia > 130 onset at 60, brier: recorded 0.25, scored again None"


def test_changed_validation_forecasts_and_strange_event_paths_are_found(path: Path, windows: Windows) -> None:
    write_forecasts(
        path.with_name("validation_forecasts.parquet"),
        validation().window_id,
        quantiles_of(validation()) + 1,
        LEVELS,
    )
    path.with_name("event_paths.parquet").write_bytes(b"")
    problems = verify_run(path, windows, validation(), MADE_OF)
    assert problems[0] == "validation_forecasts.parquet is not the file that the run wrote"
    assert problems[-1] == "event_paths.parquet is not the file that the run wrote"
    assert any(problem.startswith("mae: recorded") for problem in problems)


def test_an_undefined_metric_is_reproduced_as_such(path: Path, windows: Windows) -> None:
    windows.target[0, 0] = 0.0  # The percentage error has no denominator.
    again = score(windows.target, quantiles_of(windows), LEVELS, 0.0, 300.0).metrics
    assert again["mape"] is None
    rewrite(path, lambda record: record["metrics"].update(again))
    assert verify_run(path, windows, validation(), MADE_OF) == []


def test_forecasts_that_were_written_again_are_found_though_they_say_the_same(
    path: Path, windows: Windows
) -> None:
    with (path.parent / "forecasts.parquet").open("ab") as file:
        file.write(b"PAR1")
    problems = verify_run(path, windows, validation(), MADE_OF)
    assert problems[0] == "forecasts.parquet is not the file that the run wrote"


@pytest.mark.parametrize("damage", ["removed", "cut"])
def test_forecasts_that_cannot_be_read_are_one_problem_and_no_crash(
    path: Path, windows: Windows, damage: str
) -> None:
    forecasts = path.parent / "forecasts.parquet"
    if damage == "removed":
        forecasts.unlink()
    else:
        forecasts.write_bytes(forecasts.read_bytes()[:-20])
    problems = verify_run(path, windows, validation(), MADE_OF)
    assert problems[-1].startswith("no readable table of forecasts")
    assert len(problems) == (1 if damage == "removed" else 2)


def test_forecasts_of_other_windows_are_found(path: Path, windows: Windows) -> None:
    moved = replace(windows, window_id=windows.window_id + 1)
    assert verify_run(path, moved, validation(), MADE_OF) == ["forecasts of other windows"]


def test_a_changed_and_a_lost_adapter_are_told_apart(path: Path, windows: Windows) -> None:
    arm = path.parent / "adapter" / "arm.json"
    arm.write_text('{"arm": "lora-r4"}')
    assert verify_run(path, windows, validation(), MADE_OF) == [
        "the adapter is not the one that the run wrote"
    ]
    arm.unlink()
    assert verify_run(path, windows, validation(), MADE_OF) == ["no adapter"]


def test_a_file_that_snakemake_hides_in_the_adapter_changes_nothing(path: Path, windows: Windows) -> None:
    (path.parent / "adapter" / ".snakemake_timestamp").touch()
    assert verify_run(path, windows, validation(), MADE_OF) == []


def test_a_record_that_cannot_be_read_is_the_one_problem(path: Path, windows: Windows) -> None:
    path.write_text("{")
    assert verify_run(path, windows, validation(), MADE_OF) == ["no complete JSON file"]
    assert verify_transfer(path, windows, MADE_OF) == ["no complete JSON file"]


@pytest.fixture
def transfer(path: Path, tmp_path: Path) -> Path:
    """The record.json of an adapter on another cohort, with the same forecasts."""
    run = json.loads(path.read_text())
    folder = tmp_path.joinpath("explicit", "angus", "heart_rate", "chronos-t5-nano", "lora-r2", "seed4")
    folder.mkdir(parents=True)
    (folder / "forecasts.parquet").write_bytes((path.parent / "forecasts.parquet").read_bytes())
    counts = ("test_windows", "test_patients", "non_finite_windows")
    shared = ("failure", "windows", "metrics", "settings", "versions", "machine", "git_commit", "finished_at")
    record = {name: run[name] for name in shared} | {
        "key": {
            "dataset": "simulated",
            "trained_on": "explicit",
            "evaluated_on": "angus",
            "vital": "heart_rate",
            "model": "chronos-t5-nano",
            "arm": "lora-r2",
            "seed": 4,
        },
        "counts": dict.fromkeys(counts, 0),
        "seconds": {"forecast": 1.0, "total": 2.0},
        "memory": {"peak_host_mib": 300.0},
        "hashes": MADE_OF
        | {"own_windows": "0e" * 32, "adapter": "ada9" * 16, "forecasts": run["hashes"]["forecasts"]},
    }
    (folder / "record.json").write_text(json.dumps(record))
    return folder / "record.json"


TRANSFER_MADE_OF = MADE_OF | {"own_windows": "0e" * 32, "adapter": "ada9" * 16}


def test_nothing_is_wrong_with_a_transfer_whose_files_are_as_it_wrote_them(
    transfer: Path, windows: Windows
) -> None:
    assert verify_transfer(transfer, windows, TRANSFER_MADE_OF) == []


def test_a_transfer_by_an_adapter_that_was_trained_again_is_found(transfer: Path, windows: Windows) -> None:
    changed = TRANSFER_MADE_OF | {"adapter": "0" * 64}
    assert verify_transfer(transfer, windows, changed) == ["adapter: recorded ada9ada9ada9, now 000000000000"]


def test_a_transfer_whose_adapter_could_not_be_trained_used_none(transfer: Path, windows: Windows) -> None:
    def fail(record: dict[str, Any]) -> None:
        record["failure"] = "the training loss is nan at step 3"
        record["hashes"]["adapter"] = None

    rewrite(transfer, fail)
    assert verify_transfer(transfer, windows, TRANSFER_MADE_OF) == []


def test_where_every_patient_was_seen_no_metric_is_expected(transfer: Path, windows: Windows) -> None:
    nobody = replace(
        windows,
        window_id=windows.window_id[:0],
        target=windows.target[:0],
    )
    forecasts = transfer.parent / "forecasts.parquet"
    write_forecasts(forecasts, nobody.window_id, np.empty((0, 3, 12), np.float32), LEVELS)

    def empty(record: dict[str, Any]) -> None:
        record["hashes"]["forecasts"] = file_hash(forecasts)
        record["metrics"] = dict.fromkeys(record["metrics"])

    rewrite(transfer, empty)
    assert verify_transfer(transfer, nobody, TRANSFER_MADE_OF) == []
    rewrite(transfer, lambda record: record["metrics"].update(mse=1e-3))
    assert verify_transfer(transfer, nobody, TRANSFER_MADE_OF) == ["mse: recorded 0.001, scored again None"]
