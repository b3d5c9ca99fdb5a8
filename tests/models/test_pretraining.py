"""The pre-training step, with a budget of seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from workflow_scripts.models.interface import Series
from workflow_scripts.models.parameters import PretrainingParameters
from workflow_scripts.models.registry import variant
from workflow_scripts.models.weights import load_variant
from workflow_scripts.pretrain_model import pretrain
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_json

SHORT = PretrainingParameters(series=100, steps=2, batch_size=64)


@pytest.mark.parametrize("name", ["chronos-t5-nano", "moirai-nano", "lag-llama-nano"])
def test_a_short_run_gives_loadable_weights_with_their_provenance(name: str, tmp_path: Path) -> None:
    output = tmp_path / name
    pretrain(name, SHORT, output)
    record = read_json(output / "provenance.json")
    assert record["warning"].startswith("A stand-in")
    assert record["recipe"]["seed"] == SHORT.seed
    assert record["validation_loss"] < 100
    model = load_variant(variant(name), output)
    context = Series(torch.full((2, 24), 0.4), torch.zeros(2, dtype=torch.int64), 3600)
    drawn = model.sample(context, torch.full((2, 3, 12), 0.5, dtype=torch.float64))
    assert drawn.shape == (2, 3, 12)
    assert drawn.isfinite().all()


def test_the_same_settings_give_the_same_weights_through_the_command(tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    parameters = {"pretraining": SHORT.model_dump()}
    settings.write_text(json.dumps({"code": "any", "parameters": parameters}))
    pretrain("moirai-nano", SHORT, tmp_path / "first")
    command = [sys.executable, "-m", "workflow_scripts.pretrain_model", "--model", "moirai-nano"]
    subprocess.run(
        [*command, "--settings", str(settings), "--output", str(tmp_path / "again")],
        check=True,
        capture_output=True,
        timeout=120,
    )
    first, again = (read_json(tmp_path / name / "provenance.json") for name in ("first", "again"))
    assert first["sha256"] == again["sha256"]
    pretrain("moirai-nano", SHORT.model_copy(update={"seed": 8}), tmp_path / "other")
    assert read_json(tmp_path / "other" / "provenance.json")["sha256"] != first["sha256"]


def test_published_models_are_not_pre_trained_here(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a published model"):
        pretrain("chronos-t5-tiny", SHORT, tmp_path / "output")
