"""What all benchmarks share."""

import csv
import json
from pathlib import Path

from benchmarks.harness import in_turn, isolated, ratio, report

TABLES = {
    "Costs": [{"model": "small", "seconds": 0.12345}, {"model": "large", "seconds": 1234.5, "rows": 2000}]
}


def test_every_other_round_runs_backwards() -> None:
    order: list[str] = []
    cases = {name: lambda name=name: order.append(name) for name in "abc"}
    in_turn(cases, 3)
    assert "".join(order) == "abccbaabc"


def test_a_ratio_is_taken_within_each_round() -> None:
    assert ratio([2, 30, 4], [1, 10, 4]) == 2


def test_a_table_is_printed_and_written_in_the_format_that_the_files_name_says(
    tmp_path: Path, capsys
) -> None:
    for suffix in ("json", "csv", "md"):
        report(TABLES, tmp_path / f"costs.{suffix}")
    assert "small    0.123" in capsys.readouterr().out
    assert json.loads((tmp_path / "costs.json").read_text()) == TABLES
    rows = list(csv.DictReader((tmp_path / "costs.csv").read_text().splitlines()))
    assert rows[0] == {"model": "small", "seconds": "0.12345", "rows": ""}
    assert "| large | 1,234 | 2,000 |" in (tmp_path / "costs.md").read_text()


def test_a_function_in_a_process_of_its_own_returns_its_result_and_cost() -> None:
    result, cost = isolated("math:sqrt", 9)
    assert result == 3
    assert cost.cpu > 0
    assert 0 < cost.peak_mib < 200
