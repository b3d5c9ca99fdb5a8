"""Generated settings, tables of MIMIC-III and weights: each is taken, or refused with one UserError.

The quick profile tries 60 cases of each; the full catalogue (`-m faults`) 2,400 each.
"""

import copy
import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import strategies as st
from safetensors.numpy import save_file

from tests.helpers.fuzzing import damaged
from tests.helpers.tiny_folder import chart_row, write_tables
from workflow_scripts.models.weights import count_elements
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.settings import load_study
from workflow_scripts.sources.mimic_iii.extraction import extract_events
from workflow_scripts.sources.mimic_iii.parameters import ExtractionParameters
from workflow_scripts.sources.mimic_iii.tables import EVENT_TABLES

ROOT = Path(__file__).parents[2]

SETTINGS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))

pieces = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["simulated", "sepsis3", "heart_rate", "../../etc", "$(id)", "lora", "chronos-t5-nano"]),
)
values = st.recursive(
    pieces, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


def places(group: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested settings."""
    inner = group.items() if isinstance(group, dict) else enumerate(group) if isinstance(group, list) else ()
    return [path] * bool(path) + [place for key, value in inner for place in places(value, (*path, key))]


@st.composite
def changed_settings(draw: st.DrawFn) -> dict[str, Any]:
    """The default settings with up to three values replaced, or keys added."""
    changed = copy.deepcopy(SETTINGS)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(changed)))
        group = changed
        for key in path[:-1]:
            group = group[key]
        if isinstance(group, dict) and draw(st.integers(0, 9)) == 0:
            group[draw(st.text(min_size=1, max_size=9))] = draw(values)
        else:
            group[path[-1]] = draw(values)
    return changed


def test_settings(attempt) -> None:
    attempt(changed_settings(), load_study)


def test_headers_of_weights(attempt, tmp_path: Path) -> None:
    save_file(
        {"a": np.ones((4, 3), np.float32), "b": np.zeros(5, np.float16)}, tmp_path / "whole.safetensors"
    )
    whole = (tmp_path / "whole.safetensors").read_bytes()
    path = tmp_path / "model.safetensors"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        count_elements(path)

    attempt(damaged(whole, len(whole)), read)


def test_configurations_of_weights(attempt, tmp_path: Path) -> None:
    from workflow_scripts.models.registry import VARIANTS
    from workflow_scripts.models.weights import check_folder

    folder = ROOT / "weights/embedded/moirai-nano"
    configuration = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")

    def read(changed: dict[str, Any]) -> None:
        (tmp_path / "config.json").write_text(json.dumps(configuration | changed))
        check_folder(VARIANTS["moirai-nano"], tmp_path)

    attempt(st.dictionaries(st.sampled_from(sorted(configuration)), values, min_size=1, max_size=3), read)


@st.composite
def damaged_table(draw: st.DrawFn, contents: dict[Path, bytes]) -> tuple[Path, bytes]:
    """A table file and what it holds instead: of a compressed one either the text or the file itself is damaged."""
    path = draw(st.sampled_from(sorted(contents)))
    content = contents[path]
    if path.suffix == ".gz" and draw(st.booleans()):
        text = gzip.decompress(content)
        return path, gzip.compress(draw(damaged(text, len(text))), mtime=0)
    return path, draw(damaged(content, len(content)))


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "compressed"])
def test_csv_tables(attempt, tmp_path: Path, zipped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One table of a MIMIC-III folder is damaged: events of every table, or none of any and the table's name."""
    # Small blocks take less time, and many lie on a border between two.
    monkeypatch.setattr("workflow_scripts.sources.mimic_iii.reading._BLOCK_BYTES", 256)
    hours = [chart_row(charttime=f"2100-01-01 {hour:02}:00:00", value="Arm, Left") for hour in range(20)]
    raw, events = write_tables(tmp_path / "raw", zipped=zipped, chartevents=hours), tmp_path / "events"
    contents = {path: path.read_bytes() for path in raw.iterdir()}

    def read(case: tuple[Path, bytes]) -> None:
        path, content = case
        path.write_bytes(content)
        shutil.rmtree(events, ignore_errors=True)
        error, counts = None, {}
        try:
            counts = extract_events(raw, events, ExtractionParameters())["vitals"]
        except UserError as raised:
            error = raised
        path.write_bytes(contents[path])
        if error is not None:
            assert path.name.partition(".")[0] in error.where
            assert list(events.iterdir()) == []
            return
        assert {path.stem for path in events.glob("[!.]*")} == {*EVENT_TABLES}
        dropped = sum(count for name, count in counts.items() if name.startswith("dropped"))
        assert counts["read"] == counts["kept"] - counts["derived"] + dropped

    attempt(damaged_table(contents), read, share=0.25)
