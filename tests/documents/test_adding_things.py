"""One of each is added to a copy of the project as the documentation says, and a small study is run with them all."""

import csv
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.documents import Block, blocks
from tests.helpers.projects import TINY_STUDY, copy_project, run_in

pytestmark = [pytest.mark.workflow, pytest.mark.acceptance]

FAMILY, FAMILY_ENTRY, VARIANT_ENTRY, COMMANDS = blocks("adding-a-model.md")
BASELINE, VITAL_SIGN = blocks("adding.md")
METHOD = next(block for block in blocks("adding-a-method.md") if block.language == "python")
SOURCE_OUTLINE, SOURCE_ENTRY, _ = blocks("adding-a-source.md")
MODEL = "perceptron-nano"
STUDY = TINY_STUDY | {
    "vitals": ["heart_rate", "calculated_temperature"],
    "ranks": [2],
    "baselines": ["persistence", "drift"],
    # Temperatures are charted every three hours.
    "windows": {"minimum_context_observed": 4, "minimum_horizon_observed": 2},
}
ARMS = ["zero-shot", "full", "head-only", "lora-r2", "orthogonal-lora-r2"]

# A source as the page outlines it: how its files are read is its own affair.
READ_LOGS = """
        import pandas as pd

        logs = [
            pd.read_csv(path, parse_dates=["charttime"]).assign(icustay_id=int(path.stem), vital="heart_rate")
            for path in sorted(raw.glob("*.csv"))
        ]
        values = pd.concat(logs)[["icustay_id", "charttime", "vital", "value"]]
        values.to_parquet(folder / "vitals.parquet", index=False)
        stays = values.groupby("icustay_id", as_index=False).agg(
            intime=("charttime", "min"), outtime=("charttime", "max")
        )
        stays = stays.assign(subject_id=stays.icustay_id, died_in_hospital=False, onset=pd.NaT)
        stays["onset"] = stays.onset.astype("datetime64[us]")
        stays.to_parquet(folder / "stays.parquet", index=False)
        return {"stays": len(stays)}
"""

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


def file_of(block: Block) -> str:
    """The file that a page's heading names."""
    return re.findall(r"`(\S+\.(?:py|yaml))`", block.heading)[-1]


def append(path: Path, text: str) -> None:
    """Put a document's text at the end of a file."""
    path.write_text(f"{path.read_text(encoding='utf-8')}\n\n{text}", encoding="utf-8")


def add_one_of_each(folder: Path) -> None:
    """A family with a model, a baseline, a vital sign, an adaptation method and a source."""
    (folder / file_of(FAMILY)).write_text(FAMILY.text, encoding="utf-8")
    insert_below(folder / file_of(FAMILY_ENTRY), "families:", FAMILY_ENTRY.text)
    insert_below(folder / file_of(FAMILY_ENTRY), "variants:", VARIANT_ENTRY.text)
    append(folder / file_of(BASELINE), BASELINE.text)
    insert_below(folder / file_of(VITAL_SIGN), "vital_signs:", VITAL_SIGN.text)
    (folder / "workflow_scripts/adaptation/methods/orthogonal_lora.py").write_text(
        METHOD.text, encoding="utf-8"
    )
    source = SOURCE_OUTLINE.text.replace("        ...\n", READ_LOGS)
    (folder / "workflow_scripts/sources/ward_logs.py").write_text(source, encoding="utf-8")
    append(folder / "workflow_scripts/sources/datasets.yaml", SOURCE_ENTRY.text)


def write_ward_logs(folder: Path) -> None:
    """Thirty stays of three days, a heart rate every hour."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for stay in range(1, 31):
        rates = (80 + generator.normal(0, 2, 72).cumsum()).clip(40, 160)
        times = np.datetime64("2130-05-17") + np.arange(72) * np.timedelta64(1, "h")
        lines = [f"{time},{rate:.0f}" for time, rate in zip(times, rates, strict=True)]
        (folder / f"{stay}.csv").write_text("\n".join(["charttime,value", *lines]))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, after everything that the pages say was done, and one run of the study with all of it."""
    folder = copy_project(tmp_path_factory.mktemp("additions") / "project", STUDY)
    add_one_of_each(folder)
    for command in COMMANDS.commands:
        run_in(folder, *command)
    *study, _arms, weights, adaptation = COMMANDS.commands[-1]
    run_in(folder, *study, "arms=[zero-shot, full, head-only, lora, orthogonal-lora]", weights, adaptation)
    return folder


def test_the_family_has_fewer_than_80_lines():
    assert len(FAMILY.text.splitlines()) < 80


def metrics(project: Path, dataset: str = "simulated") -> list[dict[str, str]]:
    """The rows of metrics.csv."""
    with (project / f"results/{dataset}/summary/metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_arm_of_the_new_model_has_a_row(project):
    rows = [row for row in metrics(project) if row["model"] == MODEL and row["vital"] == "heart_rate"]
    assert [row["arm"] for row in rows] == ARMS
    assert all(float(row["mse"]) > 0 and int(row["non_finite_windows"]) == 0 for row in rows)
    # LoRA is two rows of 72 and two columns of 64; the head is a 48 x 64 matrix with 48 biases.
    trainable = {row["arm"]: int(row["trainable_parameters"]) for row in rows}
    lora = 2 * (72 + 64)
    assert trainable == dict(zip(ARMS, (0, 7792, 48 * 65, lora, lora), strict=True))


def test_the_new_vital_sign_has_the_same_rows_as_heart_rate(project):
    arms = {vital: [] for vital in STUDY["vitals"]}
    for row in metrics(project):
        arms[row["vital"]].append((row["model"], row["arm"]))
        assert row["status"] == "ok", row
    assert len(arms["heart_rate"]) == len(STUDY["baselines"]) + len(ARMS)
    assert arms["calculated_temperature"] == arms["heart_rate"]


def test_the_new_baseline_is_one_in_tables_and_report(project):
    rows = {(row["vital"], row["model"]): row for row in metrics(project)}
    for vital in STUDY["vitals"]:
        new, known = rows[vital, "drift"], rows[vital, "persistence"]
        assert (new["family"], new["arm"]) == (known["family"], known["arm"])
        assert float(new["mse"]) > 0
    with (project / "results/simulated/summary/comparisons.csv").open() as file:
        compared = [row for row in csv.DictReader(file) if row["against_model"] == "drift"]
    # With each baseline the arm that is best on validation is compared, and nothing else.
    assert {row["vital"] for row in compared} == set(STUDY["vitals"])
    assert {row["model"] for row in compared} == {MODEL}


def test_the_report_names_what_was_added_by_its_label(project):
    page = (project / "results/simulated/report.html").read_text(encoding="utf-8")
    for label in ("traight line through the context", "LoRA, orthogonal start", "alculated temperature"):
        assert label in page, label


def test_a_study_of_the_new_source_ends_with_metrics(project):
    write_ward_logs(project / "data/raw/ward-logs")
    *study, _models, _arms, weights, adaptation = COMMANDS.commands[-1]
    run_in(
        project, *study, "dataset=ward-logs", "cohorts=[all]", "vitals=[heart_rate]", f"models=[{MODEL}]",
        "arms=[zero-shot]", weights, adaptation,
    )  # fmt: skip
    rows = metrics(project, "ward-logs")
    assert [row["model"] for row in rows] == [*STUDY["baselines"], MODEL]
    assert all(float(row["mse"]) > 0 for row in rows)


def test_what_the_page_says_of_methods_limits_and_batches(project):
    run_in(project, sys.executable, "-c", CLAIMS)
    found = json.loads((project / "claims.json").read_text())
    nothing_to_train = {"layernorm", "ia3"}
    assert set(found["all-linear"]) == nothing_to_train
    linear = {"lora", "rslora", "dora", "pissa", "adalora", "vera", "fourierft", "orthogonal-lora"}
    assert set(found["attention"]) == linear | nothing_to_train
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
