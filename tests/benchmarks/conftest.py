"""Each benchmark is called as from a shell, and read from the file of its tables."""

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

Tables = list[list[dict[str, Any]]]


@pytest.fixture
def run_benchmark(tmp_path: Path) -> Callable[..., Tables]:
    """Runs a benchmark with these arguments; its tables, a dictionary for each row."""

    def run(name: str, *arguments: str) -> Tables:
        output = tmp_path / "tables.json"
        app = import_module(f"benchmarks.{name}").app
        done = CliRunner().invoke(app, [*arguments, "--output", str(output)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        tables = json.loads(output.read_text(encoding="utf-8"))
        assert all(title in done.output for title, rows in tables.items() if rows)
        return [*tables.values()]

    return run
