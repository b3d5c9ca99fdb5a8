"""Fabricates a small study on disk: windows, forecasts, run records, cohorts, every table of the summary, settings."""

import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.evaluation.study_records import failed_record, run_record, write_record
from tests.helpers.identifiers import as_names
from tests.reporting.fabricated_tables import write_tables
from workflow_scripts.evaluation.aggregation import collect_rows
from workflow_scripts.evaluation.forecasts import write_forecasts
from workflow_scripts.evaluation.metrics import score
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.study_statistics import study_statistics
from workflow_scripts.evaluation.summary import TABLES, ComparisonRow, IntervalRow, RankRow, RunRow, rows_text
from workflow_scripts.reporting.consort import Counts, Exclusion, draw_consort
from workflow_scripts.sources.mimic_iii.checks.findings import Finding
from workflow_scripts.windows.findings import findings_file, write_findings
from workflow_scripts.windows.reading import METADATA_KEY, WINDOW_SCHEMA, WindowMetadata

LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
NORMAL_QUANTILES = np.array([-1.2816, -0.8416, -0.5244, -0.2533, 0.0, 0.2533, 0.5244, 0.8416, 1.2816])
VITALS = {"heart_rate": ("bpm", 300.0, 85.0), "mean_blood_pressure": ("mmHg", 190.0, 78.0)}
MODELS = ("chronos-t5-nano", "moirai-nano", "lag-llama-nano")
ARMS = ("zero-shot", "full", "lora-r1", "lora-r2", "lora-r4", "lora-r8")
SCRATCH = (("n-beats", "trained"), ("n-beats", "trained-dilate"), ("tft", "trained"))
SUBJECT_ID, STAY_ID, START = 987654321, 876543219, "2177-03-04T05:06:07"
"""Marks of the first patient that must not be found in any output; the others' numbers follow."""

WINDOWS_PER_PATIENT = 3
RESAMPLES = 1500
TABLE_ONE = """variable,level,included,excluded,missing
Stays,,188,430,
"Age, years, median [Q1,Q3]",,"66.0 [54.0,77.0]","64.0 [51.0,76.0]",0
"Sex, n (%)",F,82 (43.6),190 (44.2),
"Sex, n (%)",M,106 (56.4),240 (55.8),
"First ICU, n (%)",MICU,150 (79.8),200 (46.5),
"First ICU, n (%)",TSICU,<11,230 (53.5),
"""

FINDINGS = [
    Finding(
        "warning",
        "plausible range",
        "heart_rate",
        "88 of 2,160 (4.1%) values",
        "0 to 300 bpm",
        "leave them out",
    )
]


@dataclass(frozen=True)
class Study:
    """Where the fabricated parts lie."""

    folder: Path

    @property
    def runs(self):
        return self.folder / "runs"

    @property
    def windows(self):
        return self.folder / "windows"

    @property
    def metrics(self):
        return self.folder / "metrics.csv"

    @property
    def settings(self):
        return self.folder / "settings.json"

    def table(self, name):
        return self.folder / f"{name}.csv"

    @property
    def intervals(self):
        return self.table("intervals")

    @property
    def comparisons(self):
        return self.table("comparisons")

    @property
    def rank_threshold(self):
        return self.table("rank_threshold")

    @property
    def attrition(self):
        return sorted((self.folder / "cohorts").glob("*.attrition.csv"))


def fabricate_study(
    folder,
    models=MODELS,
    arms=ARMS,
    seeds=(0,),
    vitals=tuple(VITALS),
    failed=(),
    dataset="simulated",
    naive=True,
    cohorts=("explicit",),
    test_windows=60,
    zero_target=False,
    scratch=(),
    statistics=True,
):
    """Write a study; `failed` names (model, arm) pairs whose forecasts are not finite.

    `zero_target`: one observed target is zero, so that MAPE is undefined. `scratch`: (model, arm) pairs that are
    trained from scratch. `statistics`: whether there are tables beside metrics.csv.
    """
    study = Study(folder)
    paths = []
    for cohort, vital in product(cohorts, vitals):
        context, target = _write_windows(study, cohort, vital, test_windows, zero_target)
        jobs = [(name, "baseline", 0) for name in ("persistence", "mean-of-context") if naive]
        jobs += [(model, arm, seed) for model, arm in scratch for seed in seeds]
        jobs += [(model, arm, seed) for model in models for arm in arms for seed in seeds]
        for model, arm, seed in jobs:
            quantiles = _forecast(model, arm, seed, context, target)
            record = run_record(vital=vital, model=model, arm=arm, seed=seed)
            if (model, arm) in failed:
                record = failed_record(vital=vital, model=model, arm=arm, seed=seed)
            else:
                record["metrics"] = score(target, quantiles, LEVELS, 0.0, VITALS[vital][1]).metrics
                record["validation_metrics"] = record["metrics"]  # So validation recommends the best.
            if (model, arm) in SCRATCH:
                record["family"], record["parameters"] = model, {"total": 680_680, "trainable": 680_680}
                record["seconds"]["training"] = 31.0
            record["memory"]["peak_host_mib"] += 40 * len(arm) + 11 * len(model)
            record["seconds"]["training"] *= 1 + len(model) / 10
            record["key"] |= {"dataset": dataset, "cohort": cohort}
            path = write_record(study.runs, record)
            write_forecasts(
                path.parent / "forecasts.parquet", np.arange(30, 30 + len(target)), quantiles, LEVELS
            )
            paths.append(path)
    rows = collect_rows(paths)
    study.metrics.write_text(rows_text(RunRow, rows))
    if statistics:
        _write_statistics(study, rows)
        write_tables(study.folder, rows, LEVELS)
    study.settings.write_text(
        json.dumps(
            {
                "code": "x",
                "parameters": {
                    "dataset": dataset,
                    "windows": {"context": 24, "split": "by_patient"},
                    "changed": {"ranks": [1, 2, 4, 8], "training": {"steps": 60}},
                    "evaluation": {"resamples": RESAMPLES},
                },
            }
        )
    )
    for cohort in cohorts:
        _write_attrition(study, cohort)
    return study


def _write_windows(study, cohort, vital, test_windows, zero_target):
    """Random walks around the vital sign's mean; 30 training windows come first."""
    unit, high, mean = VITALS[vital]
    generator = np.random.default_rng(len(vital))
    count = 30 + test_windows
    series = mean + generator.normal(scale=3, size=(count, 36)).cumsum(axis=1) * 0.7
    context, target = series[:, :24].astype(np.float32), series[:, 24:].astype(np.float32)
    target[generator.random(target.shape) < 0.15] = np.nan
    target[:, 0] = series[:, 24]
    if zero_target:
        target[-1, 0] = 0.0
    metadata = WindowMetadata(vital, unit, 0.0, high, 60, 24, 12, "by_patient")
    columns = {
        "window_id": np.arange(count),
        "subject_id": as_names(SUBJECT_ID + np.arange(count) // WINDOWS_PER_PATIENT),
        "icustay_id": as_names(STAY_ID + np.arange(count) // WINDOWS_PER_PATIENT),
        "start": np.full(count, np.datetime64(START)),
        "split": ["train"] * 30 + ["test"] * test_windows,
        "hours_from_onset": np.full(count, np.nan),
        "steps_since_observed": np.zeros(count, np.int64),
        "context": list(context),
        "target": list(target),
        "covariates": [[]] * count,
    }
    schema = WINDOW_SCHEMA.with_metadata({METADATA_KEY: metadata.to_json()})
    path = study.windows / cohort / f"{vital}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.table({name: pa.array(columns[name], schema.field(name).type) for name in schema.names}, schema),
        path,
    )
    write_findings(findings_file(path), FINDINGS if vital == "heart_rate" else [])
    return context[30:], target[30:]


def _forecast(model, arm, seed, context, target):
    """Points for baselines; for models the truth with noise that differs by model and arm."""
    if model in ("persistence", "mean-of-context"):
        last = context[:, -1] if model == "persistence" else context.mean(axis=1)
        return np.broadcast_to(last[:, None, None], (len(last), len(LEVELS), target.shape[1])).astype(
            np.float32
        )
    generator = np.random.default_rng([len(model), ARMS.index(arm) if arm in ARMS else 9, seed])
    skill = {"zero-shot": 6.0, "full": 4.4, "trained": 5.0, "trained-dilate": 5.2}.get(
        arm, 5.6 / (1 + 0.05 * len(arm) + 0.03 * int(arm[-1:] if arm[-1:].isdigit() else 0))
    )
    noise = generator.normal(scale=skill + 0.4 * len(model) / 10, size=target.shape).cumsum(axis=1) * 0.4
    median = np.where(np.isnan(target), np.nanmean(target), target) + noise
    width = 4.0 + 0.3 * np.arange(target.shape[1])
    return (median[:, None] + width * NORMAL_QUANTILES[:, None]).astype(np.float32)


def _write_statistics(study, rows):
    folders = {
        row: study.runs.joinpath(row.cohort, row.vital, row.model, row.arm, f"seed{row.seed}") for row in rows
    }
    found = study_statistics(rows, folders, study.windows, EvaluationParameters(resamples=RESAMPLES))
    study.intervals.write_text(rows_text(IntervalRow, found.intervals))
    study.comparisons.write_text(rows_text(ComparisonRow, found.comparisons))
    study.rank_threshold.write_text(rows_text(RankRow, found.rank_threshold))
    for name in ("events", "event_curves", "leaderboard"):
        study.table(name).write_text(rows_text(TABLES[name], getattr(found, name)))


def _write_attrition(study, cohort):
    path = study.folder / "cohorts" / f"{cohort}.attrition.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    steps = [
        ("all_stays", 618, 590, 400, 81),
        ("adult", 610, 583, 396, 80),
        ("stay_length", 402, 388, 301, 57),
        ("definition", 196, 190, 141, 40),
        ("charted_values", 188, 183, 138, 39),
    ]
    rows = "".join(f"{','.join(map(str, step))}\n" for step in steps)
    path.write_text(f"step,stays,admissions,patients,deaths\n{rows}")
    path.with_name(f"{cohort}.table_one.csv").write_text(TABLE_ONE)
    everybody, *left = (
        Counts(stays, admissions, frozenset(range(patients))) for _, stays, admissions, patients, _ in steps
    )
    before = [everybody, *left]
    exclusions = [
        (
            Exclusion(
                step[0].replace("_", " "), Counts(was.stays - now.stays, 0, was.patients - now.patients)
            ),
            now,
        )
        for step, was, now in zip(steps[1:], before, left, strict=False)
    ]
    path.with_name(f"{cohort}.consort.svg").write_text(draw_consort(cohort, everybody, exclusions))
