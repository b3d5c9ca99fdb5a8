"""The content of files from outside, against hashlib, whatever their times say."""

import hashlib
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.runtime import content
from workflow_scripts.runtime.content import content_hashes, fingerprint

LARGE = 400_000
LONG_AGO = 1_500_000_000


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file that was just written count as one that nobody is writing."""
    monkeypatch.setattr(time, "time", lambda: time.time_ns() / 1e9 + 60)


@pytest.fixture
def read_whole(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read whole, in order."""
    seen: list[Path] = []
    hash_of = content.file_hash
    monkeypatch.setattr(content, "file_hash", lambda path: seen.append(path) or hash_of(path))
    return seen


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@given(size=st.sampled_from([0, 1, 131_071, 131_072, 131_073, LARGE]), seed=st.integers(0, 255))
def test_the_hash_is_that_of_hashlib(size: int, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("content") / "file"
    path.write_bytes(bytes([seed]) * size)
    memory = path.with_name("memory.json")
    for _ in range(2):
        assert content_hashes([path], memory) == {path: sha256(path)}


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("size", [10, LARGE])
def test_a_file_of_which_nothing_changed_is_read_whole_once(
    size: int, tmp_path: Path, read_whole: list[Path]
) -> None:
    path, memory = tmp_path / "file", tmp_path / "memory.json"
    path.write_bytes(b"a" * size)
    first = content_hashes([path], memory)
    before = memory.read_bytes(), memory.stat().st_mtime_ns
    assert content_hashes([path], memory) == first
    assert read_whole == [path]
    assert (memory.read_bytes(), memory.stat().st_mtime_ns) == before


def replaced_by_an_older_file(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"b" * path.stat().st_size)
    os.utime(other, (LONG_AGO, LONG_AGO))
    other.replace(path)


def changed_in_its_middle_with_its_time_set_back(path: Path) -> None:
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(status.st_size // 2)
        file.write(b"b")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replaced_by_one_with_the_same_ends_size_and_time(path: Path) -> None:
    status = path.stat()
    changed = bytearray(path.read_bytes())
    changed[status.st_size // 2] = ord("b")
    other = path.with_name("other")
    other.write_bytes(changed)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)


def linked_to_another_file(path: Path) -> None:
    other = path.with_name("elsewhere")
    other.write_bytes(b"c" * path.stat().st_size)
    path.unlink()
    path.symlink_to(other)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("size", [10, LARGE])
@pytest.mark.parametrize(
    "change",
    [
        replaced_by_an_older_file,
        changed_in_its_middle_with_its_time_set_back,
        replaced_by_one_with_the_same_ends_size_and_time,
        linked_to_another_file,
    ],
)
def test_another_content_is_seen_whatever_size_times_and_ends_say(change, size: int, tmp_path: Path) -> None:
    path, memory = tmp_path / "file", tmp_path / "memory.json"
    path.write_bytes(b"a" * size)
    before = content_hashes([path], memory)[path]
    change(path)
    after = content_hashes([path], memory)[path]
    assert after == sha256(path) != before


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path, read_whole: list[Path]) -> None:
    path, memory = tmp_path / "large", tmp_path / "memory.json"
    path.write_bytes(b"a" * LARGE)
    for _ in range(2):
        content_hashes([path], memory)
    assert read_whole == [path, path]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("damage", ["", "[1, 2]", "{", '{"FILE": 5}', '{"FILE": {"marks": []}}'])
def test_a_damaged_memory_is_made_anew(damage: str, tmp_path: Path) -> None:
    path, memory = tmp_path / "large", tmp_path / "memory.json"
    path.write_bytes(b"a" * LARGE)
    memory.write_text(damage.replace("FILE", str(path)))
    assert content_hashes([path], memory) == {path: sha256(path)}
    assert sha256(path) in memory.read_text()


def test_a_fingerprint_depends_on_names_and_contents_and_not_on_their_order() -> None:
    first = fingerprint({"a": "1", "b": "2"})
    assert first == fingerprint({"b": "2", "a": "1"})
    assert len({first, fingerprint({"a": "1", "b": "3"}), fingerprint({"a": "1", "c": "2"})}) == 3
