"""Whether two studies have the same results, and where the runs of one took place."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from tests.helpers.records import without

MEASURED = ("seconds", "memory", "cost", "finished_at", "git_commit", "forked", "cores")
"""What the clock, the kernel and git say in a record."""
KINDS = ("data/**/*.parquet", "weights/prepared/**/*.safetensors", "results/*/runs/**/*")


class Placement(NamedTuple):
    """Where a run was computed, as its log says."""

    device: str
    node: str
    job: str


def placement(log: Path) -> Placement | None:
    """Device, node and job of Slurm; None for a run that needs no device."""
    line = r"^device (\d+) of node (\w+), Slurm job (\d+)$"
    found = re.search(line, log.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return Placement(*found.groups()) if found else None


def different_files(first: Path, second: Path, kinds: tuple[str, ...] = KINDS) -> list[str]:
    """The files that one study lacks or that differ: byte by byte, records apart from what was measured."""
    names = {
        str(path.relative_to(folder))
        for folder in (first, second)
        for kind in kinds
        for path in folder.glob(kind)
        if path.is_file()
    }
    return sorted(name for name in names if content(first / name) != content(second / name))


def content(path: Path) -> Any:
    """What must be the same of a file; None where there is none."""
    if not path.is_file():
        return None
    return without(json.loads(path.read_text()), MEASURED) if path.name == "run.json" else path.read_bytes()
