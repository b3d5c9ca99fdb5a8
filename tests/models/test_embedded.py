"""The embedded weights as they lie in the repository: whole, small, and as good as their cards say."""

from pathlib import Path

import pytest

from workflow_scripts.models.parameters import PretrainingParameters
from workflow_scripts.models.registry import variant, variant_names
from workflow_scripts.models.sources import EMBEDDED_FOLDER
from workflow_scripts.models.weights import load_variant
from workflow_scripts.runtime.files import read_json
from workflow_scripts.runtime.hashing import file_hash
from workflow_scripts.steps import pretrain_model

NAMES = [name for name in variant_names() if variant(name).hub_id is None]
SCORES = "held_out_weighted_quantile_loss"
DOCS = Path(__file__).parents[2] / "docs"


def test_every_embedded_variant_and_nothing_else_lies_in_the_repository() -> None:
    assert sorted(path.name for path in EMBEDDED_FOLDER.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_are_small_and_every_file_is_the_one_that_was_recorded(name: str) -> None:
    folder = EMBEDDED_FOLDER / name
    recorded = read_json(folder / "provenance.json")["sha256"]
    files = {path.name: file_hash(path) for path in folder.iterdir() if path.name != "provenance.json"}
    assert files == recorded
    assert {"model.safetensors", "config.json", "README.md"} <= set(files)
    assert (folder / "model.safetensors").stat().st_size <= 4_000_000


@pytest.fixture
def one_family(monkeypatch: pytest.MonkeyPatch) -> str:
    family = "changing_volatility"
    monkeypatch.setattr(pretrain_model, "HELD_OUT_FAMILIES", (family,))
    monkeypatch.setattr(pretrain_model, "CLASSICAL_MODELS", {"seasonal-naive": "SeasonalNaive"})
    return family


def scores(name: str, family: str, **changes: int) -> tuple[dict[str, float], dict[str, float]]:
    """Of a family, as they are now and as they were recorded."""
    record = read_json(EMBEDDED_FOLDER / name / "provenance.json")
    recipe = PretrainingParameters(**record["recipe"] | changes)
    model = load_variant(variant(name), EMBEDDED_FOLDER / name)
    return pretrain_model.held_out_scores(model, recipe)[family], record[SCORES][family]


@pytest.mark.parametrize("name", NAMES)
def test_every_model_is_better_than_persistence_on_series_that_it_never_saw(
    name: str, one_family: str
) -> None:
    found, recorded = scores(name, one_family, scored_series=20)
    assert found["model"] < found["persistence"]
    assert recorded["model"] < recorded["persistence"]


def test_the_scores_of_a_card_are_found_again(one_family: str) -> None:
    """Expected: the record's figures; 2 % for another processor's rounding, which can change single draws."""
    found, recorded = scores("moirai-nano", one_family)
    card = (EMBEDDED_FOLDER / "moirai-nano" / "README.md").read_text("utf-8")
    for forecaster, loss in found.items():
        assert loss == pytest.approx(recorded[forecaster], rel=0.02)
        assert f"{recorded[forecaster]:.4f}" in card


def test_the_documented_figures_are_those_of_these_weights() -> None:
    """New weights change the figures of docs/lag-llama.md; those of docs/nano-models.md stand in the records."""
    weights = file_hash(EMBEDDED_FOLDER / "lag-llama-nano" / "model.safetensors")
    assert f"begins with {weights[:12]}." in (DOCS / "lag-llama.md").read_text("utf-8")
    records = [read_json(EMBEDDED_FOLDER / name / "provenance.json")[SCORES] for name in NAMES]
    documented = (DOCS / "nano-models.md").read_text("utf-8")
    for family, losses in records[0].items():
        cells = [record[family]["model"] for record in records]
        cells += [losses[baseline] for baseline in ("persistence", "seasonal-naive", "auto-ets")]
        assert f"| {family} | " + " | ".join(f"{cell:.4f}" for cell in cells) + " |" in documented
