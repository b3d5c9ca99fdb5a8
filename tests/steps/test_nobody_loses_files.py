"""No command deletes or changes what it did not make, and each refuses before it reads anything.

Every input that the commands are given is missing: a command that read first would complain about that.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.steps import (
    choose_adapter,
    evaluate_transfer,
    extract_events,
    forecast,
    merge_adapter,
    prepare_weights,
    pretrain_model,
    run_arm,
    simulate_mimic,
    simulate_monitor,
)

MISSING = Path("missing")
NAMES: dict[str, Any] = {
    "dataset": "d",
    "vital": "heart_rate",
    "model": "moirai-nano",
    "arm": "lora-r2",
    "seed": 0,
}

FOLDERS: dict[str, Callable[[Path], None]] = {
    "choose_adapter": lambda output: choose_adapter.choose_adapter([MISSING], output),
    "evaluate_transfer": lambda output: evaluate_transfer.evaluate_transfer(
        **NAMES,
        trained_on="a",
        evaluated_on="b",
        adapter=MISSING,
        weights=MISSING,
        windows=MISSING,
        own_windows=MISSING,
        settings=MISSING,
        output=output,
    ),
    "extract_events": lambda output: extract_events.extract_events(MISSING, MISSING, output),
    "merge_adapter": lambda output: merge_adapter.merge_adapter("moirai-nano", MISSING, output),
    "prepare_weights": lambda output: prepare_weights.prepare_weights("moirai-nano", "missing", output),
    "pretrain_model": lambda output: pretrain_model.pretrain_model("moirai-nano", MISSING, output),
    "run_arm": lambda output: run_arm.run_arm(
        **NAMES, cohort="all", windows=MISSING, settings=MISSING, output=output
    ),
    "simulate_mimic": lambda output: simulate_mimic.simulate_mimic(MISSING, output),
    "simulate_monitor": lambda output: simulate_monitor.simulate_monitor(MISSING, output),
}


@pytest.mark.parametrize("command", FOLDERS)
def test_a_folder_with_somebody_else_s_files_is_refused_and_stays(command: str, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "PATIENTS.csv.gz").write_text("mine")
    with pytest.raises(UserError, match="files that no command of vitalora made"):
        FOLDERS[command](tmp_path / "thesis")
    assert [path.read_text() for path in (tmp_path / "thesis").iterdir()] == ["mine"]


@pytest.mark.parametrize("command", FOLDERS)
def test_the_working_folder_a_link_and_a_file_are_refused(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "link").symlink_to("work")
    (tmp_path / "file").write_text("mine")
    monkeypatch.chdir(tmp_path / "work")
    for output, found in (
        (Path(), "you work in"),
        (tmp_path / "link", "a link to"),
        (tmp_path / "file", "a file"),
    ):
        with pytest.raises(UserError, match=found):
            FOLDERS[command](output)
    assert (tmp_path / "file").read_text() == "mine"
    assert not any((tmp_path / "work").iterdir())


@pytest.mark.parametrize(("output", "figure"), [("series.csv", None), ("new.csv", "photo.png")])
def test_a_forecast_replaces_neither_its_input_nor_a_picture(
    output: str, figure: str | None, tmp_path: Path
) -> None:
    for name in ("series.csv", "photo.png"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match="this command did not make it"):
        forecast.forecast(
            model="moirai-nano",
            input=tmp_path / "series.csv",
            horizon=3,
            output=tmp_path / output,
            figure=tmp_path / figure if figure else None,
        )
    assert {path.read_text() for path in tmp_path.iterdir()} == {"mine"}
