"""The command that verifies a whole study names every run that its files do not reproduce."""

from pathlib import Path

import pytest

from workflow_scripts.steps import verify_results


def test_missing_runs_are_named_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    (tmp_path / "params.yaml").write_text(
        "models: [moirai-nano]\nbaselines: []\nfrom_scratch: []\narms: [lora]\nranks: [2]\nvitals: [heart_rate]\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match="1 runs that their files do not reproduce"):
        verify_results.verify_results()
    assert "sepsis3/heart_rate/moirai-nano/lora-r2/seed0: no results" in capsys.readouterr().out
