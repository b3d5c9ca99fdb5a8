"""Servers stay on this machine, and nothing reports home."""

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_documented_server_binds_to_this_machine():
    texts = [
        path.read_text(encoding="utf-8")
        for path in (ROOT / "Makefile", ROOT / "README.md", *ROOT.glob("docs/*.md"))
    ]
    started = [line for text in texts for line in re.findall(r".*\bmlflow (?:ui|server) .*-.*", text)]
    assert started
    assert all("--host 127.0.0.1" in line for line in started), started


def test_dvc_sends_no_analytics_and_has_no_default_remote():
    configuration = configparser.ConfigParser()
    configuration.read(ROOT / ".dvc/config")
    assert configuration.getboolean("core", "analytics") is False
    assert not configuration.has_option("core", "remote")
