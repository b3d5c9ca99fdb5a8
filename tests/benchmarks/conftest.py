"""The benchmarks are plain files: their folder is made importable, and each is called as from a shell."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "benchmarks/simulated_cluster")]

Tables = list[list[dict[str, str]]]


@pytest.fixture
def run_benchmark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Tables]:
    """Runs a benchmark with these arguments; its Markdown tables, a dictionary for each row."""

    def run(name: str, *arguments: str) -> Tables:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        import_module(name).main()
        return tables(capsys.readouterr().out)

    return run


def tables(text: str) -> Tables:
    """All Markdown tables of a text."""
    found: Tables = []
    header: list[str] | None = None
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            header = None
        elif header is None:
            header = cells
            found.append([])
        elif not set(line) <= {"|", "-"}:
            found[-1].append(dict(zip(header, cells, strict=True)))
    return found
