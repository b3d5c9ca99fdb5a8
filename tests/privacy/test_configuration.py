"""Servers stay on this machine, and nothing reports home."""

import configparser
import re
from inspect import signature
from pathlib import Path

import pytest

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.steps.serve_tracking import encryption_options, serve_tracking

ROOT = Path(__file__).parents[2]


LINES = [
    line
    for path in (
        ROOT / "Makefile",
        ROOT / "README.md",
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("workflow_scripts/**/*.py"),
    )
    for line in path.read_text(encoding="utf-8").splitlines()
]


def test_every_server_that_is_started_or_documented_binds_to_this_machine_unless_it_speaks_https():
    named = [(host, line) for line in LINES for host in re.findall(r"""--host["',=\s]+(\d[\d.]+)""", line)]
    assert named
    assert [line for host, line in named if host != "127.0.0.1" and "--certificate" not in line] == []
    # MLflow's own default may change.
    started = [line for line in LINES if re.search(r"\bmlflow (?:ui|server) .*-", line)]
    assert all("--host 127.0.0.1" in line for line in started), started


def test_a_shared_server_binds_to_this_machine_by_default_and_elsewhere_only_with_https():
    assert signature(serve_tracking).parameters["host"].default == "127.0.0.1"
    assert encryption_options("127.0.0.1", None, None) == []
    with pytest.raises(UserError, match="HTTPS"):
        encryption_options("0.0.0.0", None, None)


def test_dvc_sends_no_analytics_and_has_no_default_remote():
    configuration = configparser.ConfigParser()
    configuration.read(ROOT / ".dvc/config")
    assert configuration.getboolean("core", "analytics") is False
    assert not configuration.has_option("core", "remote")
