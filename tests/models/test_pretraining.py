"""The pre-training step, with a budget of seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from workflow_scripts.models.corpus import HELD_OUT_FAMILIES
from workflow_scripts.models.interface import Series
from workflow_scripts.models.parameters import PretrainingParameters
from workflow_scripts.models.registry import variant
from workflow_scripts.models.weights import load_variant
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_json
from workflow_scripts.steps import pretrain_model
from workflow_scripts.steps.pretrain_model import pretrain
from workflow_scripts.training import loop

SHORT = PretrainingParameters(series=100, steps=2, batch_size=64, scored_series=2)
SCORES = {family: {"model": 0.5, "persistence": 1.0} for family in HELD_OUT_FAMILIES}


@pytest.fixture
def without_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrain_model, "held_out_scores", lambda *_: SCORES)


def hashes(folder: Path) -> dict[str, str]:
    """Of weights and configuration: the card and its times differ from run to run."""
    found = read_json(folder / "provenance.json")["sha256"]
    return {name: value for name, value in found.items() if name != "README.md"}


@pytest.mark.usefixtures("without_scores")
@pytest.mark.parametrize("name", ["chronos-t5-nano", "moirai-nano", "lag-llama-nano"])
def test_a_short_run_gives_loadable_weights_with_card_and_provenance(name: str, tmp_path: Path) -> None:
    output = tmp_path / name
    pretrain(name, SHORT, output)
    record = read_json(output / "provenance.json")
    assert record["warning"].startswith("A stand-in")
    assert record["recipe"] == SHORT.model_dump()
    assert record["validation_loss"] < 100
    card = (output / "README.md").read_text(encoding="utf-8")
    assert f"# {name}" in card
    assert all(f"| {family} | 0.5000 | 1.0000 |" in card for family in HELD_OUT_FAMILIES)
    assert "| model / column, geometric mean | 1.000 | 0.500 |" in card
    assert [path.name for path in tmp_path.iterdir()] == [name]
    model = load_variant(variant(name), output)
    context = Series(torch.full((2, 24), 0.4), torch.zeros(2, dtype=torch.int64), 3600)
    drawn = model.sample(context, torch.full((2, 3, 12), 0.5, dtype=torch.float64))
    assert drawn.shape == (2, 3, 12)
    assert drawn.isfinite().all()


@pytest.mark.usefixtures("without_scores")
@pytest.mark.acceptance
def test_the_same_settings_give_the_same_weights_through_the_command(tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    parameters = {"pretraining": SHORT.model_dump()}
    settings.write_text(json.dumps({"code": "any", "parameters": parameters}))
    pretrain("moirai-nano", SHORT, tmp_path / "first")
    command = [sys.executable, "-m", "workflow_scripts.steps.pretrain_model", "--model", "moirai-nano"]
    subprocess.run(
        [*command, "--settings", str(settings), "--output", str(tmp_path / "again")],
        check=True,
        capture_output=True,
        timeout=300,
    )
    scores = read_json(tmp_path / "again" / "provenance.json")["held_out_weighted_quantile_loss"]
    assert set(scores) == set(HELD_OUT_FAMILIES)
    assert all(
        set(losses) == {"model", "persistence", "seasonal-naive", "auto-ets"} for losses in scores.values()
    )
    pretrain("moirai-nano", SHORT.model_copy(update={"seed": 8}), tmp_path / "other")
    first, again, other = (
        hashes(tmp_path / name)["model.safetensors"] for name in ("first", "again", "other")
    )
    assert first == again
    assert first != other


@pytest.mark.usefixtures("without_scores")
def test_an_interrupted_run_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = SHORT.model_copy(update={"steps": 6})
    monkeypatch.setattr(loop, "fit", _with_a_checkpoint_at_every_evaluation(loop.fit))
    pretrain("lag-llama-nano", longer, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(loop._Run, "evaluate", _raise_at(4, loop._Run.evaluate))
        with pytest.raises(KeyboardInterrupt):
            pretrain("lag-llama-nano", longer, tmp_path / "resumed")
    assert not (tmp_path / "resumed").exists()
    assert (tmp_path / ".resumed.checkpoint").is_dir()
    pretrain("lag-llama-nano", longer, tmp_path / "resumed")
    assert hashes(tmp_path / "resumed") == hashes(tmp_path / "whole")
    assert not (tmp_path / ".resumed.checkpoint").exists()


def _with_a_checkpoint_at_every_evaluation(fit):
    def often(model, train, validation, budget, *others):
        return fit(model, train, validation, budget.model_copy(update={"checkpoint_seconds": 0}), *others)

    return often


def _raise_at(step: int, evaluate):
    def interrupted(run) -> None:
        if run.history.steps == step:
            raise KeyboardInterrupt
        evaluate(run)

    return interrupted


def test_published_models_are_not_pre_trained_here(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a published model"):
        pretrain("chronos-t5-tiny", SHORT, tmp_path / "output")


def test_a_gpu_that_is_not_there_is_not_replaced_by_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"code": "any", "parameters": {"pretraining": SHORT.model_dump()}}))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match="no GPU on this machine"):
        pretrain_model.pretrain_model("moirai-nano", settings, tmp_path / "output", device="gpu")
