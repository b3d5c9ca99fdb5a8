"""Files are complete or absent, also after their writer was killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import (
    MADE_BY,
    atomic_folder,
    atomic_path,
    claim_folder,
    is_left_over,
    read_json,
    require_own_file,
    require_own_folder,
    write_json,
    write_parquet,
    write_text,
)

WRITER = """
import sys
from pathlib import Path
from workflow_scripts.runtime import files
with getattr(files, sys.argv[1])(Path(sys.argv[2])) as temporary:
    print("writing", flush=True)
    sys.stdin.read()
"""


def writer(kind: str, target: Path) -> subprocess.Popen[str]:
    """Another process that has begun to write a file or a folder, and waits."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, kind, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def temporary_files(folder: Path) -> list[Path]:
    return list(folder.glob(".*.part"))


def test_a_failed_write_keeps_what_was_there_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    write_text(target, "old\n")
    with pytest.raises(ZeroDivisionError), atomic_path(target) as temporary:
        temporary.write_text(f"new {1 // 0}")
    assert target.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(("kind", "write"), [("atomic_path", atomic_path), ("atomic_folder", atomic_folder)])
def test_what_a_killed_writer_left_is_removed_by_the_next_one_of_the_same_target(
    kind, write, tmp_path: Path
) -> None:
    target = tmp_path / "result"
    killed = writer(kind, target)
    (other := tmp_path / ".another.abc.part").touch()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    (left,) = set(temporary_files(tmp_path)) - {other}
    assert is_left_over(left)
    with write(target) as temporary:
        if temporary.is_file():
            temporary.write_text("content")
    assert temporary_files(tmp_path) == [other]
    assert target.exists()


@pytest.mark.parametrize("kind", ["atomic_path", "atomic_folder"])
def test_the_temporary_file_of_a_writer_that_lives_is_left_alone(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "result"
    alive = writer(kind, target)
    (temporary,) = temporary_files(tmp_path)
    assert not is_left_over(temporary)
    write_text(target, "by another") if kind == "atomic_path" else (tmp_path / "result").mkdir()
    assert temporary.exists()
    alive.communicate()
    assert alive.returncode == 0
    assert temporary_files(tmp_path) == []


def test_folders_that_a_write_makes_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_text(tmp_path / "data/simulated/settings/a.json", "{}")
    finally:
        os.umask(before)
    for name in ("data", "data/simulated", "data/simulated/settings", "data/simulated/settings/a.json"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0, name


def test_json_that_is_cut_short_is_named_with_the_command_that_finds_more(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"metrics": [1, 2, 3]})
    os.truncate(tmp_path / "run.json", 12)
    with pytest.raises(UserError, match="repair_results") as caught:
        read_json(tmp_path / "run.json")
    assert caught.value.where == str(tmp_path / "run.json")


def test_a_folder_that_a_command_made_is_replaced(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with atomic_folder(tmp_path / "result") as folder:
            (folder / f"{text}.txt").write_text(text)
    assert [path.name for path in sorted((tmp_path / "result").glob("[!.]*"))] == ["second.txt"]


@pytest.mark.parametrize("write", [atomic_folder, claim_folder])
def test_a_folder_with_somebody_else_s_file_is_refused_and_kept(write, tmp_path: Path) -> None:
    target = tmp_path / "thesis"
    target.mkdir()
    (target / "chapter.txt").write_text("years of work")
    with pytest.raises(UserError, match="files that no command of vitalora made"):
        write(target).__enter__()
    assert [path.read_text() for path in target.iterdir()] == ["years of work"]


def test_an_empty_or_absent_folder_and_one_that_was_claimed_may_be_written(tmp_path: Path) -> None:
    (tmp_path / "empty/below").mkdir(parents=True)
    for name in ("empty", "absent/below", "empty"):
        claim_folder(tmp_path / name)
        require_own_folder(tmp_path / name)


def test_links_files_and_the_working_folder_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").write_text("mine")
    work = tmp_path / "real" / "work"
    claim_folder(work)
    monkeypatch.chdir(work)
    for path, found in {
        tmp_path / "link": "a link to",
        tmp_path / "file": "a file",
        Path(): "the folder that you work in",
        tmp_path / "real": "the folder that you work in, or one above it",
    }.items():
        with pytest.raises(UserError, match=found):
            require_own_folder(path)


def test_a_folder_below_a_read_only_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As the system answers to everybody but the administrator.
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path and allowed(path, mode))
    with pytest.raises(UserError, match="cannot be written"):
        require_own_folder(tmp_path / "new" / "result")


def test_a_file_is_replaced_only_where_a_command_made_it(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    require_own_file(path)
    path.write_text("series,time\nmine,1\n")
    require_own_file(path, begins="series,time")
    for begins in ("", "series,value"):
        with pytest.raises(UserError, match="this command did not make it"):
            require_own_file(path, begins)
    path.write_text(f"{'x' * 200_000}<!-- {MADE_BY} -->")
    require_own_file(path)


def test_a_parquet_file_that_a_command_wrote_says_so_and_keeps_its_own_metadata(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    table = pa.table({"value": range(200_000)}).replace_schema_metadata({"vitalora": "mmHg"})
    for _ in range(2):
        require_own_file(path)
        write_parquet(path, table)
    assert pq.read_schema(path).metadata[b"vitalora"] == b"mmHg"
    pq.write_table(table, path)
    with pytest.raises(UserError, match="this command did not make it"):
        require_own_file(path)
