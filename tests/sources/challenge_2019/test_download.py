"""The Challenge's download against a real local HTTP server, and its fingerprints against the real archive."""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.file_server import Server, serving
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.challenge_2019.download import (
    ARCHIVE,
    FINGERPRINTS,
    fetch_challenge,
    fingerprints,
)

RECORDS = {1: b"HR|O2Sat\n80|98\n" * 500, 2: b"HR|O2Sat\n", 100_001: b"HR|O2Sat\n70|97\n" * 900}


def digest(numbers: list[int]) -> str:
    """The SHA-256 over name, NUL, hash and line feed of some records, by hashlib alone."""
    lines = [f"p{number:06}.psv\0{hashlib.sha256(RECORDS[number]).hexdigest()}\n" for number in numbers]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


EXPECTED = {"A": digest([1, 2]), "B": digest([100_001])}


def archive_of(records: dict[int, bytes]) -> bytes:
    """An archive of records, not compressed."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number, record in records.items():
            archive.writestr(f"data-1.0.0/training/p{number:06}.psv", record)
    return content.getvalue()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        server.files["1.0.0.zip"] = archive_of(RECORDS)
        yield server


def fetch(server: Server, folder: Path) -> bool:
    return fetch_challenge(folder, f"{server.url}1.0.0.zip", EXPECTED, pause_seconds=0)


def test_the_published_fingerprints_are_those_of_the_real_records(challenge_2019: Path) -> None:
    assert fingerprints(challenge_2019) == FINGERPRINTS


def test_the_archive_arrives_whole_and_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    assert fetch(server, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [ARCHIVE]
    assert (tmp_path / ARCHIVE).read_bytes() == server.files["1.0.0.zip"]
    server.log.clear()
    assert not fetch(server, tmp_path)
    assert not server.log


def test_a_cut_connection_is_continued_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.cuts["1.0.0.zip"] = 1
    assert fetch(server, tmp_path)
    half = len(server.files["1.0.0.zip"]) // 2
    assert [(wanted, status) for _, wanted, status in server.log] == [(None, 200), (f"bytes={half}-", 206)]


def test_what_an_earlier_run_left_is_continued(server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{ARCHIVE}.part").write_bytes(server.files["1.0.0.zip"][:4000])
    assert fetch(server, tmp_path)
    assert [wanted for _, wanted, _ in server.log] == ["bytes=4000-"]


def test_another_archive_of_the_same_records_is_right(server: Server, tmp_path: Path) -> None:
    server.files["1.0.0.zip"] = archive_of(dict(reversed(RECORDS.items())))
    assert fetch(server, tmp_path)


@pytest.mark.parametrize(
    "content", [archive_of(RECORDS | {2: b"changed"}), archive_of({1: b""}), b"<html>busy</html>"]
)
def test_wrong_records_are_one_error_and_leave_no_file(
    server: Server, tmp_path: Path, content: bytes
) -> None:
    server.files["1.0.0.zip"] = content
    with pytest.raises(UserError, match="SHA-256 is not the published one") as caught:
        fetch(server, tmp_path)
    assert EXPECTED["B"] in caught.value.expected
    assert not list(tmp_path.iterdir())
