"""Files that are complete or absent."""

import fcntl
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.runtime.completeness import REPAIR_COMMAND
from workflow_scripts.runtime.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

MARK = ".vitalora"
"""A file in every folder that a command made. A folder without it belongs to somebody else and is never replaced."""

MADE_BY = "made by vitalora"
"""What a single file says of itself that a command made: in its first or last bytes, as its format allows."""

_OTHER_NAME = "choose another name; nothing was read or written"

_READ_BYTES = 64 * 1024
"""How much of either end of a file is looked at for MADE_BY. Parquet says it in its footer."""


class UnreadableFileError(UserError, ValueError):
    """A file that does not hold what its name promises."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it replaces `path`, on failure nothing is left.

    The temporary file lies in the same folder, so that the final rename cannot cross file systems.
    """
    _make_folder(path.parent)
    remove_left_over(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    temporary = Path(name)
    try:
        _mark_in_use(handle)
        yield temporary
        move_into_place(temporary, path)
    finally:
        os.close(handle)
        temporary.unlink(missing_ok=True)


def require_own_folder(path: Path) -> None:
    """Raise UserError unless a command may write this folder: it is absent, empty, or was made by a command.

    To be called before anything is read or computed for it.
    """
    place = path.resolve()
    if path.is_symlink():
        found, expected = f"a link to {place}", "a folder, or a name that is not taken"
    elif path.exists() and not path.is_dir():
        found, expected = "a file", "a folder, or a name that is not taken"
    elif place == Path.cwd() or place in Path.cwd().parents:
        found, expected = "the folder that you work in, or one above it", "a folder of its own for the result"
    elif path.is_dir() and not (path / MARK).is_file() and _holds_files(path):
        found = "a folder with files that no command of vitalora made"
        expected = "a new or empty folder, or an earlier result of a command"
    else:
        _require_place(path)
        return
    raise UserError(str(path), found, expected, _OTHER_NAME)


def require_own_file(path: Path, begins: str = "") -> None:
    """Raise UserError unless a command may write this file: it is absent, or an earlier result of a command.

    Such a result says MADE_BY, or begins with these words, as a table with its header.
    To be called before anything is read or computed for it.
    """
    if path.is_symlink() or (path.exists() and not (path.is_file() and _is_own_file(path, begins))):
        found = "a folder" if path.is_dir() else "it exists, and this command did not make it"
        expected = "a name that is not taken, or an earlier result of this command"
        raise UserError(str(path), found, expected, _OTHER_NAME)
    _require_place(path)


def _is_own_file(path: Path, begins: str) -> bool:
    with path.open("rb") as file:
        first = file.read(_READ_BYTES)
        file.seek(max(0, path.stat().st_size - _READ_BYTES))
        last = file.read()
    return MADE_BY.encode() in first + last or bool(begins and first.startswith(begins.encode()))


def _require_place(path: Path) -> None:
    """Raise UserError where nothing can be made at a path, for what is above it."""
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise UserError(str(path), f"{above} is a file", "a name below a folder", _OTHER_NAME)
    place = path if path.is_dir() else above
    if not os.access(place, os.W_OK):
        found = f"{place} cannot be written"
        raise UserError(str(path), found, "a folder that you may write to", _OTHER_NAME)


def _holds_files(path: Path) -> bool:
    """Whether a folder holds any file but temporary ones. Snakemake itself makes the folders of results."""
    for folder, folders, files in os.walk(path):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        if links or not all(map(_is_temporary, files)):
            return True
        folders[:] = [name for name in folders if not _is_temporary(name)]
    return False


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(".part")


def claim_folder(path: Path) -> None:
    """Make a folder into which a command writes file by file, and mark it. Raises UserError as `require_own_folder`."""
    require_own_folder(path)
    _make_folder(path)
    mark_folder(path)


def mark_folder(folder: Path) -> None:
    """Note in a folder that a command made it. What was there before must have been looked at: `require_own_folder`."""
    (folder / MARK).write_text(
        "made by vitalora, which may replace what is in this folder\n", encoding="utf-8"
    )


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; on success it replaces `path`, on failure nothing is left.

    Raises UserError where `path` is no folder of ours, see `require_own_folder`.
    """
    require_own_folder(path)
    with scratch_folder(path.parent, path.name) as temporary:
        mark_folder(temporary)
        yield temporary
        for file in temporary.rglob("*"):
            _to_disk(file)
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
        _to_disk(path.parent)


@contextmanager
def scratch_folder(folder: Path, name: str) -> Iterator[Path]:
    """Give a temporary folder inside a folder, gone afterwards; those of this name that killed steps left go first."""
    _make_folder(folder)
    remove_left_over(folder / name)
    temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".part", dir=folder))
    handle = os.open(temporary, os.O_RDONLY)
    try:
        _mark_in_use(handle)
        yield temporary
    finally:
        os.close(handle)
        shutil.rmtree(temporary, ignore_errors=True)


def move_into_place(temporary: Path, path: Path) -> None:
    """Give a complete temporary file of the same file system its name, once its content is on the disk."""
    _to_disk(temporary)
    temporary.replace(path)
    _to_disk(path.parent)


def remove_left_over(path: Path) -> None:
    """Delete the temporary files of `path` that killed writers left."""
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        if is_left_over(temporary):
            shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink(missing_ok=True)


def is_left_over(temporary: Path) -> bool:
    """Whether no process writes a temporary file or folder any more. False where the file system cannot tell.

    A writer holds a lock on it (flock), which ends with the process, however it ends.
    """
    try:
        # A network file system locks only what is open for writing.
        handle = os.open(temporary, os.O_RDONLY if temporary.is_dir() else os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def _make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner only: rows of patients may follow."""
    for folder in reversed([path, *path.parents]):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)


def _mark_in_use(handle: int) -> None:
    with suppress(OSError):  # A file system without locks.
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _to_disk(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk and survives a power failure."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_parquet(path: Path, table: "pa.Table") -> None:
    """Write a Parquet file that says who made it, with checksums of its pages, atomically."""
    import pyarrow.parquet as pq

    metadata = {**(table.schema.metadata or {}), b"made_by": MADE_BY.encode()}
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, write_page_checksum=True)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically; a NaN is refused (it is not JSON), so pass None instead."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_json_if_changed(path: Path, value: Any) -> None:
    """Write JSON only where the file holds something else, so that its time tells of real changes."""
    if not holds_json(path, value):
        write_json(path, value)


def holds_json(path: Path, value: Any) -> bool:
    """Whether a file is there, can be read and holds this value."""
    try:
        return read_json(path) == value
    except (OSError, ValueError):
        return False


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises UnreadableFileError, a UserError and a ValueError, where it is no complete JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise UnreadableFileError(
            where=str(path),
            found="no complete JSON",
            expected="the whole file, as a finished job writes it",
            remedy=f"run `{REPAIR_COMMAND}`, which lists incomplete results and says how to make them again",
        ) from None


def read_yaml(path: Path, expected: str) -> Any:
    """Read a YAML file. Raises UnreadableFileError with line and column where it is none, or where there is no file.

    expected: what the file should hold, in words.
    """
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        where, found = f"{path}{place}", f"no YAML: {error.problem or error.context}"
    except (UnicodeDecodeError, yaml.YAMLError):
        where, found = str(path), "characters that YAML does not allow"
    except OSError as error:
        where, found = str(path), error.strerror or type(error).__name__
    raise UnreadableFileError(where, found, expected, "correct the file, or name another one")


def folder_mib(folder: Path) -> float:
    """The size of all files of a folder, MiB."""
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20, 4)
