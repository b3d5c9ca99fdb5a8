"""The Challenge's psv files, one for each ICU stay, in a folder or in zip archives, which are not unpacked."""

import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

from workflow_scripts.runtime.errors import UserError

FIRST_OF_HOSPITAL_B = 100_000
"""Records from this number on are of hospital B."""

_NAME = re.compile(r"p(\d{6})\.psv")
_REMEDY = "download the data again (snakemake fetch_challenge_2019), or correct the path (docs/data.md)"


@dataclass(frozen=True)
class Record:
    """One psv file. place: where it is, for messages; read: returns its content."""

    number: int
    place: str
    read: Callable[[], bytes]


def record_name(number: int) -> str:
    """Return the name of a record, which its file has too: `p000001`."""
    return f"p{number:06}"


@contextmanager
def open_records(raw: Path) -> Iterator[list[Record]]:
    """Give all records in the order of their numbers.

    raw: a zip archive, or a folder with p<number>.psv at any depth, or with archives that hold them.
    Raises UserError where there are none, or two of one number, or an archive is damaged.
    """
    with ExitStack() as stack:
        records = list(_of_folder(raw)) if raw.is_dir() else []
        if not records:
            for archive in archives(raw):
                records += _of_archive(stack, archive)
        records.sort(key=lambda record: record.number)
        _refuse_wrong(raw, records)
        yield records


def archives(raw: Path) -> list[Path]:
    """Return the zip archives: the file itself, or those of a folder."""
    return [raw] if raw.is_file() else sorted(raw.rglob("*.zip"))


def psv_files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Give the psv files of a folder and of those below it, in any order."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from psv_files(Path(entry.path))
            elif _NAME.fullmatch(entry.name):
                yield entry


def _of_folder(folder: Path) -> Iterator[Record]:
    for entry in psv_files(folder):
        yield Record(int(entry.name[1:7]), entry.path, Path(entry.path).read_bytes)


def _of_archive(stack: ExitStack, path: Path) -> list[Record]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
    except (OSError, zipfile.BadZipFile):
        raise UserError(str(path), "no complete zip archive", "the archive as downloaded", _REMEDY) from None
    named = [(name, _NAME.fullmatch(name.rpartition("/")[2])) for name in archive.namelist()]
    return [
        Record(int(match[1]), f"{path}, {name}", partial(_read_member, path, archive, name))
        for name, match in named
        if match
    ]


def _read_member(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error):
        found = f"a damaged member, {name}"
        raise UserError(str(path), found, "the archive as downloaded", _REMEDY) from None


def _refuse_wrong(raw: Path, records: list[Record]) -> None:
    expected = "files p<6 digits>.psv at any depth, in a folder or a zip archive"
    if not records:
        found = "no psv file of the Challenge" if raw.exists() else "no such file or folder"
        raise UserError(str(raw), found, expected, _REMEDY)
    groups = [list(group) for _, group in groupby(records, key=lambda record: record.number)]
    repeated = [group for group in groups if len(group) > 1]
    if repeated:
        first, second, *_ = repeated[0]
        raise UserError(
            str(raw),
            f"{len(repeated)} records more than once; the first are {first.place} and {second.place}",
            "each record once",
            "remove one of the copies",
        )
