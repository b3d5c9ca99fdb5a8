"""The study where the truth is known: what the benchmark says of a planted shift and of equal arms."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import known_truth
from tests.helpers.identifiers import as_names
from workflow_scripts.windows.making import write_windows
from workflow_scripts.windows.reading import WindowMetadata, Windows


def some_windows(patients: int = 60) -> Windows:
    """Heart rates around 80 that stay around 80, three windows for each patient."""
    generator = np.random.default_rng(1)
    numbers = np.arange(3 * patients)
    levels = np.repeat(generator.normal(80, 8, patients), 3)[:, None]
    values = (levels + generator.normal(0, 3, (len(numbers), 36))).astype(np.float32)
    return Windows(
        context=values[:, :24],
        target=values[:, 24:],
        start=numbers * 3600,
        split=np.repeat(["train", "validation", "test"], patients),
        hours_from_onset=np.full(len(numbers), np.nan, np.float32),
        steps_since_observed=np.zeros(len(numbers), np.int64),
        covariates=np.zeros((len(numbers), 0, 24), np.float32),
        window_id=numbers,
        subject_id=as_names(numbers // 3),
        icustay_id=as_names(numbers // 3),
        metadata=WindowMetadata("heart_rate", "bpm", 0.0, 300.0, 60, 24, 12, "by_patient"),
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What a small run of the whole program finds."""
    folder = tmp_path_factory.mktemp("known-truth")
    write_windows(folder / "windows.parquet", some_windows())
    seeds = ["--shift-seeds", "1", "--null-seeds", "2", "--chance-seeds", "2"]
    sizes = ["--models", "moirai-nano", *seeds, "--steps", "20", "--jobs", "1"]
    arguments = [str(folder / "windows.parquet"), *sizes, "--json", str(folder / "found.json")]
    done = CliRunner().invoke(known_truth.app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads((folder / "found.json").read_text())


def test_zero_shot_misses_by_the_planted_shift(found):
    zero_shot = next(row for row in found["shift"] if row["arm"] == "zero-shot")
    assert zero_shot["bias_low"] < -10 < zero_shot["bias_high"]
    assert zero_shot["recovered"] == 0


def test_lora_recovers_a_part_of_it_and_the_comparisons_say_so(found):
    lora = [row for row in found["shift"] if row["arm"].startswith("lora")]
    assert all(0 < row["recovered_low"] < row["recovered"] < row["recovered_high"] for row in lora)
    claims = {(row["arm"], row["against_arm"]): row["claim"] for row in found["comparisons"]}
    assert claims["lora-r2", "zero-shot"] == claims["full", "zero-shot"] == "lower"


def test_the_null_test_compares_every_pair_of_disjoint_seeds_once(found):
    counted = [(row["arm"], row["seeds"], row["pairs"], row["families"]) for row in found["null"]]
    assert counted == [("zero-shot", 1, 1, 1), ("lora-r2", 1, 1, 1)]


def test_a_difference_between_equal_arms_counts_as_an_alarm_only_where_the_interval_leaves_zero_out():
    generator = np.random.default_rng(3)
    noise = generator.normal(0, 1, 2000)

    def run(seed, error):
        sample = known_truth.Sample(error, error + noise)
        return known_truth.Run(seed, sample, sample)

    far = [run(0, 5.0), run(1, 9.0)]  # The same noise in both: the difference has none, and is not zero.
    same = [run(2, 5.0), run(3, 5.0)]
    row = known_truth.null_row("lora-r2", [[far, same]], 1)
    counted = [row[name] for name in ("pairs", "alarms", "claims", "families", "claiming")]
    assert counted == [2, 1, 1, 1, 1]
