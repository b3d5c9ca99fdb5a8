"""Whether result files are complete: killed jobs, full disks and power failures leave files that are cut short."""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

from workflow_scripts.runtime.errors import UserError

REPAIR_COMMAND = "python -m workflow_scripts.steps.repair_results"


def is_complete(path: Path) -> bool:
    """Whether a file can be read to its end, as the reader of its kind judges. An empty file is incomplete.

    A file of an unknown kind counts as complete unless it is empty.
    """
    try:
        if path.stat().st_size == 0:
            return False
        _READERS.get(path.suffix, _read_nothing)(path)
    # Each library has its own exceptions for a file that is cut short.
    except Exception:
        return False
    return True


def incomplete_files(folders: Iterable[Path], passed_over: tuple[str, ...] = ()) -> Iterator[Path]:
    """The incomplete files below these folders, sorted.

    Passed over are hidden files, links, and files whose names end with one of these suffixes.
    """
    for folder in folders:
        for path in sorted(folder.rglob("[!.]*")):
            judged = path.is_file() and not path.is_symlink() and path.suffix not in passed_over
            if judged and not is_complete(path):
                yield path


def incomplete_input(arguments: Iterable[str]) -> UserError | None:
    """The message for the first argument of a step that is, or holds, an incomplete file; None where all are complete.

    To be asked after a step has failed: whichever library met the file, the user is told which one it is.
    """
    for path in map(Path, arguments):
        if path.is_dir():
            # Raw tables may be large; the extraction judges them itself.
            found = next(incomplete_files([path], passed_over=(".gz",)), None)
        else:
            found = path if path.is_file() and not is_complete(path) else None
        if found:
            return _refusal(found)
    return None


def require_complete(path: Path) -> None:
    """Raise UserError for a file that is incomplete. For kinds that can be read without their end, as CSV."""
    if not is_complete(path):
        raise _refusal(path)


def _refusal(path: Path) -> UserError:
    return UserError(
        where=str(path),
        found="an incomplete file: it is empty, or its end is missing",
        expected="the whole file, as a finished job writes it",
        remedy=f"run `{REPAIR_COMMAND}`, which lists incomplete results and says how to make them again; "
        "restore a file of your own from its source",
    )


def _read_parquet_footer(path: Path) -> None:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path):
        pass


def _read_safetensors_header(path: Path) -> None:
    from safetensors import safe_open

    # Also compares the size of the file with what the header says.
    with safe_open(path, framework="numpy"):
        pass


def _read_json(path: Path) -> None:
    json.loads(path.read_bytes())


def _read_svg(path: Path) -> None:
    ElementTree.parse(path)


def _read_gzip(path: Path) -> None:
    with gzip.open(path) as file:
        while file.read(2**20):
            pass


def _require_end(*ends: bytes) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16))
            if not file.read().endswith(ends):
                raise ValueError("the end is missing")

    return read


def _read_nothing(_: Path) -> None:
    pass


_READERS: dict[str, Callable[[Path], None]] = {
    ".parquet": _read_parquet_footer,
    ".safetensors": _read_safetensors_header,
    ".json": _read_json,
    ".gz": _read_gzip,
    ".svg": _read_svg,
    ".html": _require_end(b"</html>", b"</html>\n"),
    ".csv": _require_end(b"\n"),
}
