"""Rows of a dataclass as CSV."""

import csv
import io
from collections.abc import Iterable
from dataclasses import fields
from typing import Any


def header_of(kind: type) -> str:
    """Return the first line of a CSV file with the fields of a dataclass as columns."""
    return ",".join(field.name for field in fields(kind))


def rows_as_csv(kind: type, rows: Iterable[Any]) -> str:
    """Return rows of a dataclass as CSV with a header; None is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(kind))
    writer.writerows(vars(row).values() for row in rows)
    return text.getvalue()
