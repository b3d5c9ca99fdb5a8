"""docs/methods.md says what the code does."""

import re
from pathlib import Path

import pytest
import torch

from workflow_scripts.adaptation.adapting import plan
from workflow_scripts.adaptation.arms import ADAPTATION_METHODS, Arm
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.models.registry import family_class, variant

DOCUMENT = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")


def rows(first_column: str) -> list[list[str]]:
    """The cells of the table whose heading begins so, the heading first."""
    table = DOCUMENT[DOCUMENT.index(f"| {first_column} |") :].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return [cells[0], *cells[2:]]


def test_every_method_has_a_row():
    methods = [row[0].strip("`").removesuffix("-r…") for row in rows("method")[1:]]
    assert sorted(methods) == sorted(ADAPTATION_METHODS)


def test_every_setting_is_named():
    for name in AdaptationParameters.model_fields:
        assert re.search(rf"`({name}|{name.partition('_')[0]}_…)`", DOCUMENT), name


@pytest.mark.parametrize("column", range(1, len(rows("arm")[0])), ids=rows("arm")[0][1:])
def test_the_table_of_counts_is_current(column):
    heading, *table = rows("arm")
    entry = variant(heading[column])
    with torch.device("meta"):
        model = family_class(entry.family).create(entry.sizes, seed=0)
    for row in table:
        trainable = plan(model, Arm.parse(row[0].strip("`")), AdaptationParameters()).trainable
        assert row[column] == f"{trainable:,}", row[0]
