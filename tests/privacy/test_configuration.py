"""Servers stay on this machine, and nothing reports home."""

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_server_that_is_started_or_documented_binds_to_this_machine():
    files = [
        ROOT / "Makefile",
        ROOT / "README.md",
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("workflow_scripts/**/*.py"),
    ]
    texts = [path.read_text(encoding="utf-8") for path in files]
    hosts = [host for text in texts for host in re.findall(r"""--host["',=\s]+([\w.]+)""", text)]
    assert set(hosts) == {"127.0.0.1"}
    # MLflow's own default may change.
    started = [line for text in texts for line in re.findall(r".*\bmlflow (?:ui|server) .*-.*", text)]
    assert all("--host 127.0.0.1" in line for line in started), started


def test_dvc_sends_no_analytics_and_has_no_default_remote():
    configuration = configparser.ConfigParser()
    configuration.read(ROOT / ".dvc/config")
    assert configuration.getboolean("core", "analytics") is False
    assert not configuration.has_option("core", "remote")
