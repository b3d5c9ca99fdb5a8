"""Forecasting a user's own file, with and without an adapter, and the adapter folded into its base."""

import csv
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from workflow_scripts.adaptation.adapters import TrainedOn, save_adapter
from workflow_scripts.adaptation.adapting import adapt
from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.models.interface import Series
from workflow_scripts.models.registry import family_class, variant
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.hashing import file_hash
from workflow_scripts.runtime.step import run_step, step_command
from workflow_scripts.steps import forecast as forecast_step
from workflow_scripts.steps.forecast import as_table, forecast_series
from workflow_scripts.steps.merge_adapter import merge_adapter
from workflow_scripts.steps.prepare_weights import prepare
from workflow_scripts.training.data import Scale
from workflow_scripts.training.parameters import ForecastParameters
from workflow_scripts.windows.series import read_series

MODEL = "lag-llama-nano"
SCALE = Scale(0, 300)
FEW = ForecastParameters(samples=10, quantiles=[0.1, 0.5, 0.9])


@dataclass
class Files:
    """Base weights, an adapter below a run folder, and twelve series of 30 hours around 80."""

    weights: Path
    adapter: Path
    series: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("forecast")
    chosen = variant(MODEL)
    model = family_class(chosen.family).create(chosen.sizes, seed=5)
    weights, run = folder / "weights", folder / "run"
    weights.mkdir()
    model.save(weights)
    arm = Arm.parse("lora-r2")
    adapt(model, arm, AdaptationParameters(), seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in (weight for weight in model.module.parameters() if weight.requires_grad):
            weight += 0.3 * torch.randn(weight.shape, generator=generator)
    trained_on = TrainedOn("heart_rate", "bpm", 0, 300, 60, 24, 5)
    save_adapter(model, arm, run / "adapter", MODEL, trained_on, file_hash(weights / "model.safetensors"))
    times = pd.date_range("2130-05-17 03:00", periods=30, freq="h")
    values = 80 + np.random.default_rng(3).normal(size=(12, 30)).cumsum(axis=1)
    table = pd.DataFrame(
        {
            "series": np.repeat([f"bed {n}" for n in range(12)], 30),
            "time": [*times] * 12,
            "value": values.ravel(),
        }
    )
    table.drop(index=[25, 40, 41]).to_csv(folder / "series.csv", index=False)
    return Files(weights, run / "adapter", folder / "series.csv")


def program(files: Files, *options: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workflow_scripts.steps.forecast", *arguments(files, *options)],
        capture_output=True,
        text=True,
        check=False,
    )


def arguments(files: Files, *options: str | Path) -> list[str | Path]:
    return [
        *("--model", MODEL, "--weights", files.weights, "--input", files.series),
        *("--horizon", "5", "--samples", "10", *options),
    ]


def forecast(files: Files, adapter: Path | None, parameters=FEW, weights: Path | None = None, scale=SCALE):
    series = read_series(files.series, 24)
    return forecast_series(series, MODEL, weights or files.weights, adapter, 5, parameters, scale)


def test_the_program_writes_quantiles_and_a_figure_with_the_geometry_of_the_training(files, tmp_path):
    table, figure = tmp_path / "forecast.csv", tmp_path / "forecast.svg"
    done = program(files, "--adapter", files.adapter, "--output", table, "--figure", figure)
    assert done.returncode == 0, done.stderr
    written = pd.read_csv(table, parse_dates=["time"])
    assert list(written.columns) == ["series", "time", "step", *(f"q0.{level}" for level in range(1, 10))]
    assert len(written) == 12 * 5
    first = written[written["series"] == "bed 0"]
    # The last charted hour is 08:00 of the next day.
    assert [*first["time"]] == [*pd.date_range("2130-05-18 09:00", periods=5, freq="h")]
    assert (np.diff(written.filter(like="q0"), axis=1) >= 0).all()
    assert figure.read_text().startswith("<?xml")
    assert "forecasting" in done.stderr
    # The function says the same: the run's scale of 0 to 300 was used.
    quantiles = forecast(files, files.adapter, ForecastParameters(samples=10))
    np.testing.assert_allclose(
        written.filter(like="q0"), np.moveaxis(quantiles, 1, 2).reshape(60, 9), rtol=1e-5
    )


def in_this_process(*options: str | Path) -> None:
    """The command line, in this process, which has paid for the imports already."""
    step_command(forecast_step.forecast).main([str(option) for option in options], standalone_mode=False)


def tricky_names() -> list[str]:
    """Names that readers change, and 40 of random characters: any of Unicode but surrogates and NUL."""
    draw = random.Random(7)
    codes = [*range(1, 0xD800), *range(0xE000, 0x11000)] + [*range(0x20, 0x7F)] * 500 + [9, 10, 13] * 2000
    made = ["".join(chr(draw.choice(codes)) for _ in range(draw.randint(1, 8))) for _ in range(40)]
    known = [
        "007",
        "7",
        "0012",
        "NA",
        "1e5",
        "1.10",
        "True",
        "nan",
        "null",
        "-",
        " 7",
        "7 ",
        "2024-01-01",
        "=1+1",
    ]
    return [
        *known,
        "bed\n1",
        "bed\r1",
        'say "7"',
        "a,b",
        "a;b",
        "$x",
        "\u5e8a7",
        "<a>&b",
        "a--b",
        "\x01",
        *made,
    ]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_every_name_comes_back_from_the_table_and_none_breaks_the_figure(files, tmp_path, suffix):
    names = tricky_names()
    times = pd.date_range("2130-05-17", periods=24, freq="h")
    rows = pd.DataFrame({"series": np.repeat(names, 24), "time": [*times] * len(names), "value": 80})
    path, output, figure = (tmp_path / f"{name}" for name in (f"in{suffix}", f"out{suffix}", "out.svg"))
    rows.to_csv(path, index=False, quoting=csv.QUOTE_ALL) if suffix == ".csv" else rows.to_parquet(path)
    options = ("--context", "24", "--horizon", "2", "--samples", "10", "--output", output, "--figure", figure)
    in_this_process("--model", MODEL, "--weights", files.weights, "--input", path, *options)
    if suffix == ".csv":
        with output.open(newline="", encoding="utf-8") as file:
            found = [row[0] for row in csv.reader(file)][1:]
    else:
        found = pq.read_table(output)["series"].to_pylist()
    assert Counter(found) == dict.fromkeys(names, 2)
    ElementTree.parse(figure)


def test_an_adapter_s_folder_alone_says_all_that_a_forecast_needs(files, tmp_path, monkeypatch):
    """Source: the same forecast with every option given, from a folder that holds nothing but the adapter."""
    (tmp_path / "weights" / "prepared").mkdir(parents=True)
    shutil.copytree(files.weights, tmp_path / "weights" / "prepared" / MODEL)
    downloaded = shutil.copytree(files.adapter, tmp_path / "downloads" / "adapter")
    monkeypatch.chdir(tmp_path)
    common = ("--input", files.series, "--samples", "10")
    in_this_process("--adapter", downloaded, *common, "--output", "alone.csv")
    given = (
        "--model",
        MODEL,
        "--horizon",
        "5",
        "--context",
        "24",
        "--interval-minutes",
        "60",
        "--scale",
        "0",
        "300",
    )
    in_this_process("--adapter", downloaded, *common, *given, "--output", "given.csv")
    assert (tmp_path / "alone.csv").read_bytes() == (tmp_path / "given.csv").read_bytes()


def test_an_adapter_that_does_not_say_its_scale_is_refused_until_one_is_given(files, tmp_path):
    adapter = shutil.copytree(files.adapter, tmp_path / "adapter")
    description = json.loads((adapter / "arm.json").read_text())
    del description["trained_on"]
    (adapter / "arm.json").write_text(json.dumps(description))
    common = ["--adapter", adapter, "--weights", files.weights, "--input", files.series, "--samples", "10"]
    common += ["--context", "24", "--horizon", "5"]
    with pytest.raises(UserError, match=r"--scale[\s\S]*add for example --scale 0 300"):
        in_this_process(*common, "--output", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
    in_this_process(*common, "--scale", "0", "300", "--output", tmp_path / "out.csv")
    in_this_process(*common[2:], "--adapter", files.adapter, "--output", tmp_path / "known.csv")
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "known.csv").read_bytes()


def test_an_adapter_is_refused_on_other_weights_of_the_same_model(files, tmp_path):
    other, chosen = tmp_path / "other", variant(MODEL)
    other.mkdir()
    family_class(chosen.family).create(chosen.sizes, seed=6).save(other)
    with pytest.raises(UserError, match="other weights than those") as refused:
        forecast(files, files.adapter, weights=other)
    assert refused.value.where == str(other / "model.safetensors")
    with pytest.raises(UserError, match="other weights than those"):
        merge_adapter(MODEL, files.adapter, tmp_path / "merged", other)


def test_an_adapter_changes_the_forecast_and_the_batch_size_does_not(files):
    with_adapter = forecast(files, files.adapter)
    assert np.abs(with_adapter - forecast(files, None)).max() > 0.1
    small = ForecastParameters(samples=10, quantiles=[0.1, 0.5, 0.9], batch_size=5)
    np.testing.assert_allclose(forecast(files, files.adapter, small), with_adapter, rtol=1e-5)


def test_lag_llama_draws_with_the_sampler_that_is_named(files):
    frozen = ForecastParameters(samples=10, quantiles=[0.1, 0.5, 0.9], lag_llama_sampler="frozen")
    with_frozen, exact = forecast(files, None, frozen), forecast(files, None)
    # The first step is drawn before anything differs (docs/lag-llama.md).
    np.testing.assert_allclose(with_frozen[..., 0], exact[..., 0], rtol=1e-4)
    assert np.abs(with_frozen - exact).max() > 0.01


def test_an_adapter_folded_into_its_base_forecasts_the_same(files, tmp_path):
    merge_adapter(MODEL, files.adapter, tmp_path / "merged", files.weights)
    merged = forecast(files, None, weights=tmp_path / "merged")
    np.testing.assert_allclose(merged, forecast(files, files.adapter), rtol=1e-4)
    # The command reads scale, context and horizon from the merged folder, as from the adapter's.
    common = ("--model", MODEL, "--input", files.series, "--samples", "10")
    in_this_process(*common, "--weights", tmp_path / "merged", "--output", tmp_path / "merged.csv")
    in_this_process(
        *common, "--weights", files.weights, "--adapter", files.adapter, "--output", tmp_path / "out.csv"
    )
    tables = [pd.read_csv(tmp_path / name).filter(like="q0") for name in ("merged.csv", "out.csv")]
    np.testing.assert_allclose(*tables, rtol=1e-4)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="no command of vitalora made"):
        merge_adapter(MODEL, files.adapter, tmp_path / "taken", files.weights)


@pytest.mark.parametrize(("minutes", "told"), [(60, False), (120, True)])
def test_a_series_that_is_spaced_otherwise_than_the_adapter_s_windows_is_warned_of(
    minutes: int, told: bool, files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(files.series, parse_dates=["time"])
    first = table["time"].min()
    table["time"] = first + (table["time"] - first) * (minutes // 60)
    table.to_csv(tmp_path / "spaced.csv", index=False)
    forecast_step.forecast(
        input=tmp_path / "spaced.csv",
        output=tmp_path / "forecast.csv",
        weights=files.weights,
        adapter=files.adapter,
        samples=10,
    )
    warned = "half of the values are 120 min or more apart, on steps of 60 min; the adapter was trained on steps of 60"
    assert (warned in capsys.readouterr().out) == told


def test_a_parquet_table_holds_the_same_rows(files, tmp_path):
    done = program(files, "--context", "24", "--output", tmp_path / "forecast.parquet")
    assert done.returncode == 0, done.stderr
    series = read_series(files.series, 24)
    expected = as_table(
        series, forecast(files, None, ForecastParameters(samples=10), scale=Scale(0, 1)), FEW.quantiles
    )
    written = pd.read_parquet(tmp_path / "forecast.parquet")
    assert written[["series", "step"]].equals(expected[["series", "step"]])
    assert (written["time"] == expected["time"]).all()


def test_a_series_whose_forecast_is_not_finite_is_counted_and_harms_no_other(files, tmp_path):
    table = pd.read_csv(files.series)
    rows = table["series"] == "bed 3"
    # Near the two ends of float32, so that its spread is infinite.
    table.loc[rows, "value"] = 3e38 * np.where(np.arange(rows.sum()) % 2, 1, -1)
    table.to_csv(tmp_path / "series.csv", index=False)
    done = program(
        files, "--input", tmp_path / "series.csv", "--context", "24", "--output", tmp_path / "out.csv"
    )
    assert done.returncode == 0, done.stderr
    assert "warning: 1 of them" in done.stdout
    written = pd.read_csv(tmp_path / "out.csv")
    assert set(written["series"][written["q0.5"].isna()]) == {"bed 3"}


def test_weights_that_were_never_prepared_are_asked_for_with_the_command(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = (
        r"prepare_weights --model lag-llama-nano --source embedded --output weights/prepared/lag-llama-nano"
    )
    with pytest.raises(UserError, match=command):
        forecast_series(read_series(files.series, 24), MODEL, None, None, 5, FEW, SCALE)
    with pytest.raises(UserError, match=command):
        merge_adapter(MODEL, files.adapter, tmp_path / "merged")


# Options, and what the one message says.
REFUSED = [
    (["--output", "out.csv"], "--context"),
    (["--output", "out.xlsx", "--context", "24"], ".csv or .parquet"),
    (["--output", "out.csv", "--context", "3000"], "at most 2048 steps"),
    (["--output", "out.csv", "--context", "200"], "12 of 12 series shorter than the context"),
    (["--output", "out.csv", "--context", "24", "--scale", "1", "1"], "a rising range"),
    (["--output", "out.csv", "--context", "24", "--samples", "1"], "--samples"),
    (["--output", "out.csv", "--adapter", "nowhere", "--context", "24"], "arm.json"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_cannot_be_forecast_ends_with_one_message(
    options, message, files, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    # In this process, which has paid for the imports already.
    monkeypatch.setattr(sys, "argv", ["forecast", *map(str, arguments(files, *options))])
    monkeypatch.setattr(os, "umask", lambda _: None)
    with pytest.raises(SystemExit) as ended:
        run_step(forecast_step.forecast)
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.count("error:") == 1
    assert message in said
    assert not any(tmp_path.iterdir())


def test_an_adapter_of_another_model_is_refused(files):
    with pytest.raises(UserError, match="an adapter of lag-llama-nano"):
        forecast_series(
            read_series(files.series, 24), "moirai-nano", None, files.adapter, 5, FEW, Scale(0, 1)
        )


# Models that are trained from scratch: their folder holds the whole model.


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a TFT for 24 steps of context and 5 of horizon."""
    chosen, folder = variant("tft"), tmp_path_factory.mktemp("whole")
    model = family_class(chosen.family).create(chosen.sizes | {"context": 24, "horizon": 5}, seed=8)
    adapt(model, Arm("trained"), AdaptationParameters(), seed=8)
    save_adapter(model, Arm("trained"), folder, "tft")
    return folder


def test_a_model_trained_from_scratch_forecasts_without_base_weights(files, whole):
    series = read_series(files.series, 24)
    found = forecast_series(series, "tft", None, whole, 5, FEW, SCALE)
    model = family_class("tft").load(whole)
    scaled = torch.from_numpy(series.values / np.float32(300))
    uniforms = torch.full((12, 1, 5), 0.5, dtype=torch.float64)
    context = Series(scaled, torch.zeros(12, dtype=torch.int64), 3600)
    expected = 300 * model.quantiles(context, uniforms, [0.1, 0.5, 0.9]).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_folder_of_a_model_from_scratch_is_all_that_a_forecast_needs(files, whole, tmp_path):
    """Source: the forecast with every option given. The folder is the model."""
    folder = shutil.copytree(whole, tmp_path / "adapter")
    description = json.loads((folder / "arm.json").read_text())
    description["trained_on"] = asdict(TrainedOn("heart_rate", "bpm", 0, 300, 60, 24, 5))
    (folder / "arm.json").write_text(json.dumps(description))
    common = ("--input", files.series, "--samples", "10")
    in_this_process("--adapter", folder, *common, "--output", tmp_path / "alone.csv")
    given = ("--model", "tft", "--horizon", "5", "--context", "24", "--scale", "0", "300")
    in_this_process("--adapter", whole, *common, *given, "--output", tmp_path / "given.csv")
    assert (tmp_path / "alone.csv").read_bytes() == (tmp_path / "given.csv").read_bytes()


def test_a_model_trained_from_scratch_is_asked_for_its_folder_and_its_geometry(files, whole):
    series = read_series(files.series, 24)
    with pytest.raises(UserError, match=r"--adapter[\s\S]*has no base weights"):
        forecast_series(series, "tft", None, None, 5, FEW, SCALE)
    with pytest.raises(UserError, match=r"windows\.horizon[\s\S]*7 steps[\s\S]*5 steps"):
        forecast_series(series, "tft", None, whole, 7, FEW, SCALE)


def test_there_is_nothing_to_merge_or_to_prepare_where_there_are_no_base_weights(whole, tmp_path):
    for step in (
        lambda: merge_adapter("tft", whole, tmp_path / "merged"),
        lambda: prepare("n-beats", "embedded", tmp_path / "prepared"),
    ):
        with pytest.raises(UserError, match="trained from scratch"):
            step()
    assert not any(tmp_path.iterdir())


def test_a_model_that_looks_at_other_vital_signs_is_refused(files):
    """The file holds one value a row: there is nothing else to look at."""
    series = read_series(files.series, 24)
    with pytest.raises(UserError, match=r"no other vital sign[\s\S]*or choose moirai-nano"):
        forecast_series(series, "moirai-nano-multivariate", files.weights, None, 6, FEW, SCALE)
