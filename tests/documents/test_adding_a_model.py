"""docs/adding-a-model.md, run as it stands: its file, its entries and its commands, in a copy of the project."""

import csv
import json
import sys
from pathlib import Path

import pytest

from tests.helpers.documents import blocks
from tests.helpers.projects import TINY_STUDY, copy_project, run_in

pytestmark = [pytest.mark.workflow, pytest.mark.acceptance]

FAMILY, FAMILY_ENTRY, VARIANT_ENTRY, COMMANDS = blocks("adding-a-model.md")
MODEL = "perceptron-nano"
STUDY = TINY_STUDY | {"ranks": [2], "baselines": ["persistence"]}

# What the page says of the family, asked in the copy: the methods it has, and what is refused.
CLAIMS = """
import json
from pathlib import Path
import torch
from workflow_scripts.adaptation.adapting import adapt
from workflow_scripts.adaptation.arms import ADAPTATION_METHODS, expand_arms
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.models.interface import Series
from workflow_scripts.models.registry import variant
from workflow_scripts.models.weights import load_variant
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.settings import load_study

def refusals(targets):
    refused = []
    for arm in expand_arms(ADAPTATION_METHODS, [2]):
        model = load_variant(variant("perceptron-nano"), Path("weights/prepared/perceptron-nano"))
        try:
            adapt(model, arm, AdaptationParameters(targets=targets), seed=0, steps=10)
        except UserError:
            refused.append(arm.method)
    return refused

def long_windows():
    try:
        load_study({"models": ["perceptron-nano"], "windows": {"context": 96}})
    except UserError as error:
        return str(error)

model = load_variant(variant("perceptron-nano"), Path("weights/prepared/perceptron-nano"))
values = torch.randn(3, 30, generator=torch.Generator().manual_seed(0))
uniforms = torch.rand(3, 5, 12, dtype=torch.float64)
start = torch.zeros(3, dtype=torch.int64)
together = model.sample(Series(values, start, 3600), uniforms)
alone = model.sample(Series(values[1:2], start[1:2], 3600), uniforms[1:2])
Path("claims.json").write_text(json.dumps({
    "all-linear": refusals("all-linear"),
    "attention": refusals("attention"),
    "long windows": long_windows(),
    "apart": float((together[1:2] - alone).abs().max()),
}))
"""


def insert_below(path: Path, line: str, text: str) -> None:
    """Put a document's entry first below a line of a file, as its reader would."""
    content = path.read_text(encoding="utf-8")
    assert content.count(f"\n{line}\n") == 1
    path.write_text(content.replace(f"\n{line}\n", f"\n{line}\n{text}"), encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, after everything that the page says was done."""
    folder = copy_project(tmp_path_factory.mktemp("family") / "project", STUDY)
    path, variants = (block.heading.split("`")[1] for block in (FAMILY, FAMILY_ENTRY))
    (folder / path).write_text(FAMILY.text, encoding="utf-8")
    insert_below(folder / variants, "families:", FAMILY_ENTRY.text)
    insert_below(folder / variants, "variants:", VARIANT_ENTRY.text)
    for command in COMMANDS.commands:
        run_in(folder, *command)
    return folder


def test_the_family_has_fewer_than_80_lines():
    assert len(FAMILY.text.splitlines()) < 80


def test_every_arm_of_the_new_model_has_a_row(project):
    with (project / "results/simulated/summary/metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == MODEL]
    assert [row["arm"] for row in rows] == ["zero-shot", "full", "head-only", "lora-r2"]
    assert all(float(row["mse"]) > 0 and int(row["non_finite_windows"]) == 0 for row in rows)
    # LoRA is two rows of 72 and two columns of 64; the head is a 48 x 64 matrix with 48 biases.
    trainable = {row["arm"]: int(row["trainable_parameters"]) for row in rows}
    assert trainable == {"zero-shot": 0, "full": 7792, "head-only": 48 * 65, "lora-r2": 2 * (72 + 64)}


def test_what_the_page_says_of_methods_limits_and_batches(project):
    run_in(project, sys.executable, "-c", CLAIMS)
    found = json.loads((project / "claims.json").read_text())
    assert found["all-linear"] == ["layernorm", "ia3"]
    linear = ["lora", "rslora", "dora", "pissa", "adalora", "vera", "fourierft"]
    assert found["attention"] == [*linear, "layernorm", "ia3"]
    assert "at most 72 steps (its first layer)" in found["long windows"]
    # One matrix product may round otherwise than another.
    assert found["apart"] < 1e-5


def test_the_new_model_forecasts_a_file_with_its_adapter(project):
    rows = [f"2130-05-17 {hour:02}:00,{80 + hour % 5}" for hour in range(24)]
    (project / "series.csv").write_text("\n".join(["time,value", *rows]))
    adapter = f"results/simulated/runs/{STUDY['cohorts'][0]}/heart_rate/{MODEL}/lora-r2/seed0/adapter"
    run_in(
        project, sys.executable, "-m", "workflow_scripts.steps.forecast", "--model", MODEL, "--adapter", adapter,
        "--input", "series.csv", "--horizon", "12", "--output", "forecast.csv",
    )  # fmt: skip
    with (project / "forecast.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 12
