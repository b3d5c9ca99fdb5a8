"""The demo's download against a real local HTTP server that can cut connections and serve ranges."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.file_server import Server, serving
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.mimic_iii.download import fetch_demo
from workflow_scripts.sources.mimic_iii.tables import TABLES


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        for table in TABLES:
            server.files[f"{table.upper()}.csv"] = table.encode() + b"\n" + os.urandom(9000)
        server.files["SHA256SUMS.txt"] = "".join(
            f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in server.files.items()
        ).encode()
        yield server


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_table_arrives_whole_and_under_its_name(server: Server, tmp_path: Path) -> None:
    fetch_demo(tmp_path / "demo", server.url)
    assert contents(tmp_path / "demo") == server.files


def test_a_second_run_downloads_only_the_list_of_hashes(server: Server, tmp_path: Path) -> None:
    fetch_demo(tmp_path, server.url)
    server.log.clear()
    fetch_demo(tmp_path, server.url)
    assert [name for name, _, _ in server.log] == ["SHA256SUMS.txt"]


def test_a_cut_connection_is_continued_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.cuts["CHARTEVENTS.csv"] = 2
    fetch_demo(tmp_path, server.url, pause_seconds=0)
    assert contents(tmp_path) == server.files
    requests = [(wanted, status) for name, wanted, status in server.log if name == "CHARTEVENTS.csv"]
    size = len(server.files["CHARTEVENTS.csv"])
    first = size // 2
    second = first + (size - first) // 2
    assert requests == [(None, 200), (f"bytes={first}-", 206), (f"bytes={second}-", 206)]


def test_a_later_run_continues_what_an_earlier_one_left(server: Server, tmp_path: Path) -> None:
    (tmp_path / "PATIENTS.csv.part").write_bytes(server.files["PATIENTS.csv"][:5000])
    fetch_demo(tmp_path, server.url)
    assert contents(tmp_path) == server.files
    assert ("PATIENTS.csv", "bytes=5000-", 206) in server.log


def test_a_complete_part_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "PATIENTS.csv.part").write_bytes(server.files["PATIENTS.csv"])
    fetch_demo(tmp_path, server.url)
    assert contents(tmp_path) == server.files
    assert [status for name, _, status in server.log if name == "PATIENTS.csv"] == [416]


def test_a_part_of_another_version_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "PATIENTS.csv.part").write_bytes(b"x" * 5000)
    fetch_demo(tmp_path, server.url)
    assert contents(tmp_path) == server.files


def test_a_server_without_ranges_is_read_from_the_start(server: Server, tmp_path: Path) -> None:
    server.ranges_allowed = False
    (tmp_path / "PATIENTS.csv.part").write_bytes(server.files["PATIENTS.csv"][:5000])
    fetch_demo(tmp_path, server.url)
    assert contents(tmp_path) == server.files


def test_a_damaged_file_of_an_earlier_run_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "PATIENTS.csv").write_bytes(b"damaged")
    fetch_demo(tmp_path, server.url)
    assert contents(tmp_path) == server.files


def test_a_wrong_hash_is_one_error_and_leaves_no_file_of_that_name(server: Server, tmp_path: Path) -> None:
    server.files["PATIENTS.csv"] += b"tampered"
    with pytest.raises(UserError, match="SHA-256 is not the published one") as raised:
        fetch_demo(tmp_path, server.url)
    assert raised.value.where == server.url + "PATIENTS.csv"
    assert "PATIENTS.csv" not in contents(tmp_path)
    assert "PATIENTS.csv.part" not in contents(tmp_path)
    assert "SHA256SUMS.txt" not in contents(tmp_path)


def test_a_file_that_is_gone_is_one_error_without_further_attempts(server: Server, tmp_path: Path) -> None:
    del server.files["ADMISSIONS.csv"]
    with pytest.raises(UserError, match="HTTP status 404"):
        fetch_demo(tmp_path, server.url)
    assert [name for name, _, _ in server.log].count("ADMISSIONS.csv") == 1


def test_a_list_of_hashes_without_a_table_is_an_error(server: Server, tmp_path: Path) -> None:
    lines = server.files["SHA256SUMS.txt"].decode().splitlines()
    server.files["SHA256SUMS.txt"] = "\n".join(line for line in lines if "SERVICES" not in line).encode()
    with pytest.raises(UserError, match="no entry for SERVICES"):
        fetch_demo(tmp_path, server.url)


def test_a_connection_that_always_breaks_ends_in_an_error_and_keeps_what_came(
    server: Server, tmp_path: Path
) -> None:
    server.cuts["PATIENTS.csv"] = 99
    with pytest.raises(UserError, match="the transfer failed"):
        fetch_demo(tmp_path, server.url, pause_seconds=0)
    arrived = (tmp_path / "PATIENTS.csv.part").read_bytes()
    assert arrived == server.files["PATIENTS.csv"][: len(arrived)]
    assert len(arrived) > 8000  # half of what was left, five times over


def test_no_server_ends_the_step_with_one_message(tmp_path: Path) -> None:
    with Server() as closed:
        url = closed.url
    code = (
        "from workflow_scripts.sources.mimic_iii.download import fetch_demo; from pathlib import Path;"
        "from workflow_scripts.runtime.step import run_step;"
        f"run_step(lambda: fetch_demo(Path({str(tmp_path)!r}), {url!r}, pause_seconds=0))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {url}SHA256SUMS.txt\n  found:      the transfer failed: ")
    assert "check the network connection" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_address_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="an address with http"):
        fetch_demo(tmp_path, "file:///etc/")
