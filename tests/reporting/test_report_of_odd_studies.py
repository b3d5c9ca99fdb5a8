"""Checks that the report builds, says what is missing and stays readable where a study is partial, large or extreme."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from tests.reporting.fabricated_study import ARMS, MODELS, SCRATCH, fabricate_study
from tests.reporting.report_page import Page, page_of, report_of
from workflow_scripts.evaluation.missing_runs import missing_row
from workflow_scripts.evaluation.summary import RunRow, in_study_order, read_metrics, rows_text
from workflow_scripts.reporting.parameters import ReportParameters

ONE = {"vitals": ("heart_rate",), "statistics": False}


@pytest.mark.parametrize(
    "changes",
    [
        {"models": MODELS[:1], "arms": ("zero-shot",)},
        {"models": (), "arms": ()},
        {"models": (), "arms": (), "scratch": SCRATCH, "naive": False},
        {"models": MODELS[:1], "arms": ("lora-r2",), "naive": False},
        {
            "models": MODELS[:2],
            "arms": ARMS[:3],
            "failed": [(model, arm) for model in MODELS for arm in ARMS],
            "naive": False,
        },
    ],
    ids=["zero-shot only", "baselines only", "from scratch only", "one arm", "all failed"],
)
def test_a_study_with_missing_parts_still_gives_a_page(tmp_path, changes):
    study = fabricate_study(tmp_path, **ONE | {"statistics": True} | changes)
    page = Page(report_of(study).html)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert "Provenance" in page.text
    assert ("No arm gave a finite error" in page.text) == ("failed" in changes)
    assert not re.search(r"\bnan\b", page.text.lower())


def test_a_rank_that_failed_leaves_a_gap_with_a_word(tmp_path):
    study = fabricate_study(
        tmp_path, **ONE, models=MODELS[:1], arms=ARMS[:5], failed=[(MODELS[0], "lora-r2")], seeds=(0, 1)
    )
    report = report_of(study)
    ranks = next(figure for figure in report.figures if figure.kind == "error-by-rank")
    assert "LoRA, rank 2: failed" in ranks.words
    assert ">failed<" in ranks.svg
    assert "each of 2 seeds: forecast not finite in 3 of 120 test windows" in report.html


@pytest.mark.acceptance
def test_five_hundred_runs_stay_below_five_megabytes_and_fold_away(tmp_path):
    models = tuple(f"chronos-t5-nano-{letter}" for letter in "abcdefghijklmnopqrst")
    ranked = [f"{method}-r{2**power}" for method in ("dora", "lora", "pissa") for power in range(7)]
    arms = ("zero-shot", "full", "bitfit", *ranked, "ia3")
    study = fabricate_study(tmp_path, **ONE, models=models, arms=arms, naive=True)
    assert len(read_metrics(study.metrics)) > 500
    report = report_of(study)
    page = Page(report.html)
    assert len(report.html.encode()) < 5_000_000
    shown = page.section("headline").partition("All arms")[0]
    assert shown.count('<th scope="row">') <= len(models) * (4 + 3) + 2
    assert "Of each method with ranks, the rank with the smallest validation error." in page.text
    # Twenty models' ranks, each with a figure of its own; no other figure tries to hold them all.
    kinds = [figure.kind for figure in report.figures]
    assert kinds.count("error-by-rank") == len(models)
    overview = next(figure for figure in report.figures if figure.kind == "error-by-arm")
    assert len(overview.rows) <= 7


def test_figures_that_the_page_has_no_room_for_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("workflow_scripts.reporting.report.LARGEST_FIGURES", 60_000)
    report = report_of(fabricate_study(tmp_path, **ONE, models=MODELS[:1], arms=ARMS[:3]))
    page = Page(report.html)
    drawn = [attributes for attributes in page.found("div") if attributes.get("class") == "chart"]
    assert 0 < len(drawn) < len(report.figures)
    assert page.text.count("This page has no room for the drawing") == len(report.figures) - len(drawn)


@pytest.fixture
def change_last(tmp_path):
    """A study of one model whose last arm has another value in a column of metrics.csv; its report."""

    def report(**values):
        study = fabricate_study(tmp_path / "study", **ONE, models=MODELS[:1], arms=ARMS[:4])
        lines = study.metrics.read_text().splitlines()
        columns, cells = lines[0].split(","), lines[-1].split(",")
        for name, value in values.items():
            cells[columns.index(name)] = value
        study.metrics.write_text("\n".join([*lines[:-1], ",".join(cells)]) + "\n")
        return report_of(study, parameters=ReportParameters(examples="never"))

    return report


@pytest.mark.parametrize(
    ("value", "shown"), [("1e6", "1.00 × 10¹⁰"), ("1e-12", "1.00 × 10⁻⁸"), ("0", "0.00")]
)
def test_extreme_errors_are_printed_in_full_and_drawn(change_last, value, shown):
    report = change_last(mse=value, mae=value)
    page = Page(report.html)
    assert shown in page.lines("LoRA, rank 2")[0][2]
    arms = next(figure for figure in report.figures if figure.kind == "error-by-arm")
    assert ("log" in str(arms.spec)) == (value != "0")
    assert "NaN" not in arms.svg
    assert "Infinity" not in "".join(figure.svg for figure in report.figures)


def test_values_that_are_not_numbers_are_shown_as_missing(change_last):
    report = change_last(mse="nan", mae="inf", training_seconds="nan", peak_host_mib="inf")
    page = Page(report.html)
    assert page.lines("LoRA, rank 2")[0][1:3] == ["–", "–"]
    assert "NaN" not in "".join(figure.svg for figure in report.figures)
    assert "LoRA, rank 2: failed" in report.html


def test_long_data_of_a_figure_is_cut_on_the_page_and_whole_in_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr("workflow_scripts.reporting.report.MOST_ROWS", 20)
    report = report_of(fabricate_study(tmp_path, **ONE, models=MODELS[:1], arms=ARMS[:1]))
    forecast = next(figure for figure in report.figures if figure.kind == "forecast")
    # 24 hours of context and 12 of forecast.
    assert len(forecast.csv.splitlines()) == 1 + 36
    assert "16 more rows" in report.html


def test_missing_runs_are_named_and_do_not_stop_the_page(tmp_path):
    """No record: one seed of an arm, all of a model, and all of a vital sign, whose windows could not be made."""
    study = fabricate_study(tmp_path, statistics=False, models=MODELS[:2], seeds=(0, 1))
    rows = read_metrics(study.metrics)
    absent = [
        row
        for row in rows
        if row.model == MODELS[1] or (row.arm, row.seed) == ("lora-r2", 1) or row.vital != "heart_rate"
    ]
    (study.windows / "explicit/mean_blood_pressure.parquet").unlink()
    lacking = []
    for row in absent:
        folder = study.runs / row.cohort / row.vital / row.model / row.arm / f"seed{row.seed}"
        shutil.rmtree(folder)
        lacking.append(replace(missing_row(folder / "run.json", [], []), dataset=row.dataset))
    there = [row for row in rows if row not in absent]
    study.metrics.write_text(rows_text(RunRow, in_study_order([*there, *lacking])))
    page = page_of(study)
    assert f"{len(absent)} of {len(rows)} runs have not finished" in page.text
    assert "its log names no error" in page.text
    assert not re.search(r"\b(nan|None)\b", page.text)


def test_choices_at_an_end_of_the_tuning_s_candidates_are_named(tmp_path):
    study = fabricate_study(tmp_path, **ONE, models=MODELS[:1])
    rate = next(row.learning_rate for row in read_metrics(study.metrics) if row.learning_rate)
    settings = json.loads(study.settings.read_text())["parameters"]
    for rates, said in (([rate, 10 * rate], "smallest"), ([rate / 10, rate], "largest")):
        page = page_of(study, settings=settings | {"tuning": {"learning_rates": rates}})
        assert f"runs chose the {said} learning rate, {rate:g};" in page.text
    page = page_of(study, settings=settings | {"tuning": {"learning_rates": [rate / 10, rate, 10 * rate]}})
    assert "may lie beyond" not in page.text
