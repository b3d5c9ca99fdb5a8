"""Checks of the report as a reader meets it: parsed HTML of fabricated studies."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.reporting.fabricated_study import (
    ARMS,
    FINDINGS,
    MODELS,
    START,
    STAY_ID,
    SUBJECT_ID,
    VITALS,
    fabricate_study,
)
from tests.reporting.report_page import Page, page_of, report_of, sources
from workflow_scripts.evaluation.names import capital, model_name, run_name
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.summary import (
    RANK,
    BreakdownRow,
    ComparisonRow,
    FindingRow,
    IntervalRow,
    RankRow,
    TransferRow,
    read_metrics,
    read_rows,
)
from workflow_scripts.models.baselines import BASELINES
from workflow_scripts.models.registry import is_point_forecast
from workflow_scripts.reporting.captions import caption
from workflow_scripts.reporting.charts import render_svg
from workflow_scripts.reporting.parameters import ReportParameters
from workflow_scripts.reporting.sections.breakdown import group_section, horizon_section
from workflow_scripts.reporting.sections.caveats import caveats
from workflow_scripts.reporting.sections.cohorts import cohort_section
from workflow_scripts.reporting.sections.costs import cost_section, cost_table
from workflow_scripts.reporting.sections.domains import domain_section
from workflow_scripts.reporting.sections.fans import fan_section
from workflow_scripts.reporting.sections.findings import finding_section
from workflow_scripts.reporting.sections.provenance import provenance_section
from workflow_scripts.reporting.sections.transfer import transfer_table, verdict
from workflow_scripts.reporting.statistics import Statistics, comparison_sentence
from workflow_scripts.reporting.study import collect_study
from workflow_scripts.reporting.words import seconds
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.windows.findings import write_findings

SMALL = {"models": MODELS[:1], "arms": ("zero-shot", "full", "lora-r2"), "vitals": ("heart_rate",)}


def test_the_step_writes_one_page_that_needs_nothing_from_outside_and_its_figures(tmp_path):
    study = fabricate_study(tmp_path / "study", **SMALL)
    output, figures = tmp_path / "report.html", tmp_path / "figures"
    command = [sys.executable, "-m", "workflow_scripts.steps.make_report", "--settings", study.settings]
    command += ["--summary", study.folder, "--runs", study.runs, "--windows", study.windows]
    command += ["--cohorts", study.folder / "cohorts", "--output", output, "--figures", figures]
    subprocess.run(list(map(str, command)), check=True)
    html = output.read_text()
    assert len(html.encode()) < 5_000_000
    page = Page(html)
    assert not page.found("link") + page.found("iframe") + page.found("img")
    assert not any("src" in attributes for attributes in page.found("script"))
    references = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("href", "src", "xlink:href")
    ]
    assert references
    assert all(reference.startswith("#") for reference in references)
    assert not re.search(r"@import|url\((?!#)", re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL))
    assert not list(tmp_path.glob(".*.part"))
    drawn = {path.stem for path in figures.glob("*.svg")}
    assert drawn == {path.stem for path in figures.glob("*.csv")}
    assert drawn == {
        attributes["id"] for attributes in page.found("div") if attributes.get("class") == "chart"
    }


@pytest.mark.acceptance
def test_the_same_study_gives_the_same_bytes(tmp_path):
    study = fabricate_study(tmp_path, **SMALL)
    first = report_of(study)
    render_svg.cache_clear()
    again = report_of(study)
    assert again.html == first.html
    assert [figure.file_svg for figure in again.figures] == [figure.file_svg for figure in first.figures]


def test_every_reference_points_to_one_element(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = set(re.findall(r'href="#([^"]+)"', page.html))
    targets |= {
        name for _, attributes in page.elements for name in attributes.get("aria-labelledby", "").split()
    }
    assert targets <= set(ids)


def test_the_sections_stand_in_the_order_of_a_readers_questions(page):
    keys = re.findall(r'<section aria-labelledby="([a-z-]+)"', page.html.replace(' class="answer"', ""))
    order = (
        "answer headline leaderboard events rank cost-and-error examples calibration horizon onset groups domains "
        "cohorts data-checks findings"
    )
    assert [key for key in keys if key != "caveats"] == [*order.split(), "costs", "provenance", "gaps"]


def test_the_headline_table_holds_the_numbers_of_the_summary(study, page):
    rows = [row for row in read_metrics(study.metrics) if (row.model, row.arm) == (MODELS[0], "lora-r2")]
    cells = page.lines("LoRA, rank 2")[0]
    expected = [f"{value:.2f}" for row in rows for value in (row.mae, row.mse * 1e4)]
    assert all(cell.startswith(value) for cell, value in zip(cells[1:5], expected, strict=True))
    assert cells[5] == "3,072"


def test_the_best_of_each_column_is_marked_once(page):
    # Two columns for each of two vital signs at the top; five in each vital sign's own table.
    assert page.section("headline").count("(best)") == 2 * 2 + 2 * 5


def test_every_error_has_its_interval_below_it(study, page):
    rows = {
        (row.model, row.metric): row
        for row in read_rows(study.intervals, IntervalRow)
        if (row.vital, row.arm) == ("heart_rate", "full")
    }
    for line, model in zip(page.lines("full fine-tuning"), MODELS[:2], strict=False):
        for cell, (metric, factor) in zip(line[1:3], (("mae", 1), ("mse", 1e4)), strict=True):
            row = rows[model, metric]
            assert cell.endswith(f"{row.low * factor:.2f} – {row.high * factor:.2f}")
    assert "Small figures: 95 % intervals over 20 test patients." in page.text


def test_of_each_model_the_arm_that_validation_recommends_is_marked(study, page):
    rows = [row for row in read_metrics(study.metrics) if row.arm != "baseline"]
    subjects = {(row.vital, row.model) for row in rows}
    # Two columns of each vital sign at the top, five in each vital sign's own table.
    assert page.section("headline").count("(recommended)") == len(subjects) * (2 + 5)
    best = min((row for row in rows if row.model == MODELS[0]), key=lambda row: row.validation_wql)
    assert best.arm != "zero-shot"


def test_planned_comparisons_are_those_of_the_table(study, page):
    rows = [
        row
        for row in read_rows(study.comparisons, ComparisonRow)
        if (row.vital, row.metric) == ("heart_rate", "mse")
    ]
    told = [row for row in rows if row.p_holm <= 0.05]
    lower = sum(row.difference < 0 for row in told)
    assert 0 < len(told) < len(rows)
    assert (
        f"{len(rows)} comparisons of MSE were planned. After Holm's correction at 5 %, the first arm's error is "
        f"lower in {lower} and higher in {len(told) - lower}; the other {len(rows) - len(told)} are inconclusive."
    ) in page.text
    verdicts = [cells[6] for cells in page.rows if len(cells) == 7]
    assert verdicts.count("lower") >= lower > 0


def test_the_shares_of_the_resamples_stand_beside_the_rank_they_choose(study, page):
    rows = [
        row
        for row in read_rows(study.rank_threshold, RankRow)
        if (row.vital, row.metric, row.model) == ("heart_rate", "mse", MODELS[0])
    ]
    chosen = next(row.rank for row in rows if row.threshold)
    cells = page.lines("Chronos-T5 nano, LoRA")[0]
    assert cells[1] == f"rank {chosen}"
    for row, cell in zip(rows, cells[2:], strict=True):
        said = "< 1 %" if 0 < row.share < 0.01 else f"{100 * row.share:.0f} %"
        assert cell.replace(" (best)", "") == said


def test_with_too_few_patients_no_difference_is_claimed(tmp_path):
    page = page_of(fabricate_study(tmp_path, models=MODELS[:1], vitals=("heart_rate",), test_windows=27))
    assert "No difference is claimed: 9 test patients: fewer than 10." in page.text
    assert "could not be made" in page.text
    assert "Small figures" not in page.text


def test_a_family_too_large_for_the_resamples_is_said_to_be(study):
    rows = read_rows(study.comparisons, ComparisonRow)
    parameters = EvaluationParameters(resamples=400)
    family = [row for row in rows if (row.vital, row.metric) == ("heart_rate", "mse")]
    sentence = comparison_sentence(family, Statistics(parameters=parameters))
    assert "With 400 resamples no p-value can be small enough" in sentence
    assert f"must be at least {40 * len(family):,}" in sentence


def test_the_coverage_of_a_point_forecast_is_never_marked_as_best(tmp_path):
    page = page_of(fabricate_study(tmp_path, models=(), arms=(), vitals=("heart_rate",)))
    # Two columns at the top, and four of five below: the coverage has no best.
    assert page.html.count("(best)") == 2 + 4
    # AutoETS and Theta forecast quantiles, so they are not among those that forecast a point.
    assert "a reference's forecast is a point" not in page.text
    points = [name for name in BASELINES if is_point_forecast(name)]
    assert points == ["persistence", "mean-of-context", "seasonal-naive"]


def test_what_the_run_is_not_stands_beside_the_answer(page):
    caveats = page.text[: page.text.index("Results at a glance")]
    assert "Simulated patients" in caveats
    assert "not the published foundation models" in caveats
    assert "One seed" in caveats
    assert "20 test patients: with fewer than 40, intervals are too narrow" in caveats


def test_the_cohort_is_drawn_and_described_as_it_was_made(study, page):
    part = page.section("cohorts")
    drawing = (study.folder / "cohorts/explicit.consort.svg").read_text()
    assert drawing.strip() in part
    assert ["MICU", "150 (79.8)", "200 (46.5)", ""] in [[cell.strip() for cell in row] for row in page.rows]
    assert "&lt;11" in part


def test_what_is_unusual_in_the_data_is_told_by_vital_sign(study, page):
    section = page.section("data-checks")
    for words in (
        "heart rate: plausible range",
        "88 of 2,160 (4.1%) values",
        "0 to 300 bpm",
        "leave them out",
    ):
        assert words in section
    assert "Nothing unusual" not in section
    for path in study.windows.rglob("heart_rate.check.json"):
        path.write_text('{"findings": []}')
    try:
        assert "Nothing unusual was found" in page_of(study).section("data-checks")
    finally:
        for path in study.windows.rglob("heart_rate.check.json"):
            write_findings(path, FINDINGS)


def test_real_patients_of_credentialed_data_are_not_shown_unless_asked_for(tmp_path):
    study = fabricate_study(tmp_path, dataset="mimic-iii", **SMALL | {"models": MODELS[:1]})
    asked = page_of(study, parameters=ReportParameters(examples="always"))
    assert "forecast-median" in asked.html
    for path in study.runs.rglob("forecasts.parquet"):
        path.unlink()
    page = page_of(study)
    assert "forecast-median" not in page.html
    assert "They are not shown of mimic-iii" in page.text
    assert "Simulated patients" not in page.text
    # Without a flow chart that hides small groups, the exact counts of the attrition table stay out too.
    (study.folder / "cohorts/explicit.consort.svg").unlink()
    assert "left after" not in page_of(study).text


def test_examples_can_be_switched_off_for_open_data_too(study):
    given = sources(study, parameters=ReportParameters(examples="never"))
    section = fan_section(collect_study(read_metrics(study.metrics), given))
    assert not section.blocks
    assert section.missing == "Switched off by report.examples."


def test_no_mark_of_a_patient_is_in_the_page_or_in_a_figure(report):
    texts = [report.html, *(text for figure in report.figures for text in (figure.csv, figure.file_svg))]
    for mark in (SUBJECT_ID, STAY_ID, START[:10], START[11:]):
        assert not any(str(mark) in text for text in texts)


def test_small_groups_have_neither_point_nor_count(report):
    groups = next(figure for figure in report.figures if figure.kind == "error-by-first-icu")
    assert {row["level"] for row in groups.rows} == {"MICU", "SICU"}
    assert "Not shown, fewer than 11 patients: TSICU." in report.html


def test_findings_stand_beside_the_papers(study, page):
    rows = read_rows(study.table("findings"), FindingRow)
    part = page.section("findings")
    for said in ("agrees", "disagrees", "undecided", "not tested"):
        # Once in a finding's line, once among its claims.
        assert part.count(f">{said}<") == 2 * sum(row.verdict == said for row in rows)
    assert "1 of 7 claims could not be tested: there is no Chronos small." in part
    assert "−2.0 % (−4.0 % to −1.0 %)" in part
    assert ["N-HiTS", "without", "18.02", "7.46", "20.46", "7.22", "6.38", "13.97"] in page.rows
    # Below it stands what was trained from scratch here, in the same columns; their MAPE is our mape_paper.
    here = {row.vital: row for row in read_metrics(study.metrics) if row.model == "n-beats"}
    order = [here["mean_blood_pressure"], here["heart_rate"]]
    values = [f"{v:.2f}" for row in order for v in (row.mse * 1e4, row.mape_paper, row.dtw * 1e3)]
    assert ["without", *values] in [row[1:] for row in page.rows]


def test_a_finding_counts_its_verdicts_and_names_what_was_compared_in_words(study):
    row = read_rows(study.table("findings"), FindingRow)[0]
    against = "n-hits-hr trained; moirai-1.1-R-small full"
    levelling = {"value": 8.0, "low": 2.0, "high": 8.0, "measure": RANK}
    beats = replace(row, claim="LoRA beats full fine-tuning", arms="chronos-t5-nano lora-r4", against=against)
    claims = [
        replace(beats, value=-0.000502, low=-0.02, high=0.0),
        replace(row, verdict="undecided", reason="the interval shows neither"),
        replace(row, finding=7, **levelling),
    ]
    collected = collect_study(read_metrics(study.metrics), sources(study, findings=claims))
    first, *_, last = finding_section(collected).blocks[0].folds
    assert [(mark.text, mark.below) for mark in first.marks] == [("agrees", "1"), ("undecided", "1")]
    claim, found = first.table.groups[0].lines[0].cells
    assert claim.text == "LoRA beats full fine-tuning"
    assert claim.below == (
        "Chronos-T5 nano (LoRA, rank 4) against N-HiTS (settings for heart rate), MOIRAI 1.1 small (full fine-tuning)"
    )
    assert found.text == "\N{MINUS SIGN}0.1 % (\N{MINUS SIGN}2.0 % to 0.0 %)"
    assert last.table.groups[0].lines[0].cells[1].text == "rank 8 (2 to 8)"


def test_both_sides_say_over_how_many_claims_they_are_corrected(page):
    start, end = page.html.index('id="answer"'), page.html.index('id="headline"')
    answer, findings = page.html[start:end], page.section("findings")
    assert "Holm&#39;s correction over all comparisons of the vital sign" in answer
    assert "corrected over its fewer claims: what is open here can have a verdict there" in answer
    assert "Holm&#39;s correction over all claims about a vital sign in a cohort" in findings
    assert "20 patients, 1 seed, p 0.012 (Holm, 7 claims)" in findings
    assert "it can leave open what has a verdict here" in findings


def test_provenance_names_commit_hashes_versions_machine_and_what_was_changed(page):
    part = page.section("provenance")
    for word in ("0123456789ab", "da7ada7ada7a", "ba5eba5eba5e", "torch 2.13.0", "2 cores", "training.steps"):
        assert word in part
    changed = part[part.index("Parameters that differ") : part.index("All settings")]
    assert "windows.split" not in changed
    assert "1, 2, 4, 8" in changed


def test_provenance_says_where_changes_were_not_committed_and_versions_are_mixed(study):
    rows = read_metrics(study.metrics)
    commits = [replace(row, git_commit="0123456789ab-dirty", code_hash="c0de") for row in rows]
    other = replace(rows[-1], seed=1, git_commit="fedcba987654", code_hash="0dd")
    section = provenance_section(collect_study([*commits, other], sources(study)))
    facts = {line.name: line.cells[0].text for line in section.blocks[0].tables[0].groups[0].lines}
    changed = "0123456789ab with changes that were not committed"
    assert facts["git commit"] == f"2 commits are mixed: {changed}, fedcba987654"
    mixed = [value for name, value in facts.items() if name.startswith("code of")]
    assert sorted(mixed) == ["2 versions are mixed: 0dd, c0de", "c0de"]
    assert facts["runs"].endswith(" UTC")


def test_without_statistics_seeds_are_shown_as_mean_with_extremes_and_nothing_is_claimed(tmp_path):
    study = fabricate_study(
        tmp_path,
        models=MODELS[:1],
        arms=("full", "lora-r2"),
        seeds=(0, 1, 2),
        vitals=("heart_rate",),
        statistics=False,
    )
    errors = [row.mse * 1e4 for row in read_metrics(study.metrics) if row.arm == "full"]
    page = page_of(study)
    cell = page.lines("full fine-tuning")[0][2].replace(" (best)", "").replace(" (recommended)", "")
    assert cell == f"{sum(errors) / 3:.2f}{min(errors):.2f} – {max(errors):.2f}"
    assert "No intervals were computed: these are point estimates" in page.text
    assert "3 seeds: with fewer than 5" in page.text
    gaps = page.section("gaps")
    for name in ("calibration.csv", "breakdown.csv", "findings.csv"):
        assert name in gaps


def test_a_failed_arm_is_shown_with_its_reason_and_without_numbers(tmp_path):
    study = fabricate_study(tmp_path, arms=ARMS[:3], failed=[("moirai-nano", "full")], vitals=("heart_rate",))
    page = page_of(study)
    failed = next(line for line in page.lines("full fine-tuning") if line[1] == "–")
    assert set(failed[1:3]) == {"–"}
    gaps = page.section("gaps")
    assert "1 of 11 runs failed" in gaps
    assert "forecast not finite in 3 of 120 test windows" in gaps


def test_an_arm_that_one_vital_sign_lacks_is_said_to_be_missing(tmp_path):
    study = fabricate_study(tmp_path, models=MODELS[:1], arms=("zero-shot", "lora-r2"))
    lines = study.metrics.read_text().splitlines()
    kept = [line for line in lines if not ("mean_blood_pressure" in line and "lora-r2" in line)]
    study.metrics.write_text("\n".join(kept) + "\n")
    page = page_of(study)
    assert "not run" in page.section("headline")
    assert "Mean blood pressure, sepsis (explicit codes): Chronos-T5 nano, LoRA, rank 2" in page.section(
        "gaps"
    )


def test_the_costs_of_each_vital_sign_stand_apart_and_a_failed_run_takes_part_in_no_mean(study):
    rows = read_metrics(study.metrics)
    one = next(row for row in rows if row.model == MODELS[0] and row.arm == "full")
    slow = replace(one, seed=1, training_seconds=one.training_seconds + 20)
    lost = replace(slow, status="failed", reason="too little memory", training_seconds=0.5)
    tables = {}
    for name, more in {"two": slow, "failed": lost}.items():
        collected = collect_study([*rows, more], sources(study))
        blocks = cost_section(collected).blocks
        assert [block.heading for block in blocks] == [task.title for task in collected.tasks]
        assert all(table.columns <= 8 for block in blocks for table in block.tables)
        table = cost_table(collected, next(p for p in collected.tasks if p.vital == one.vital))
        place = [head.text for head in table.heads[0]].index("training") - 1
        group = next(g for g in table.groups if g.name == capital(model_name(MODELS[0])))
        tables[name] = (group.lines[1].cells[place].text, group.lines[1].remark)
    assert tables["two"] == (seconds(one.training_seconds + 10), "")
    assert tables["failed"] == ("–", "1 of 2 runs failed or are missing")


def test_an_undefined_metric_is_named_and_not_averaged_over(tmp_path):
    study = fabricate_study(tmp_path, **SMALL, zero_target=True)
    page = page_of(study)
    assert "runs with an undefined metric" in page.section("gaps")
    assert "undefined: mape" in page.section("gaps")


def test_several_cohorts_have_a_matrix_of_transfer(tmp_path):
    study = fabricate_study(tmp_path, **SMALL, cohorts=("explicit", "angus"))
    (block,) = domain_section(collect_study(read_metrics(study.metrics), sources(study))).blocks
    figures = {figure.kind: figure for figure in block.figures}
    rows = read_rows(study.table("transfer"), TransferRow)
    matrix = figures["transfer"]
    assert len(matrix.rows) == len(rows) == 4
    for row, drawn in zip(rows, matrix.rows, strict=True):
        low, high = row.above_own_low, row.above_own_high
        expected = (
            "own cohort"
            if row.trained_on == row.evaluated_on
            else "higher than its own"
            if low > 0
            else "lower than its own"
            if high < 0
            else "inconclusive"
        )
        assert drawn["verdict"] == expected
        # Of other patients the errors themselves do not compare: the paired difference does.
        assert drawn["shown"] == (
            f"{row.value * 1e4:.2f}" if expected == "own cohort" else f"{row.above_own * 1e4:+.2f}"
        )
    assert {row["cohort"] for row in figures["error-by-cohort"].rows} == {"explicit", "angus"}
    hidden = replace(rows[1], value=None, low=None, high=None, above_own=None, reason="too few")
    text = transfer_table("heart_rate", [replace(hidden, above_own_low=None, above_own_high=None)], "95 %")
    assert [cell.text for cell in text.groups[0].lines[0].cells][1:3] == ["–", "–"]
    assert verdict(replace(hidden, above_own_low=None)) == "not compared"


def test_of_a_foundation_model_the_figures_show_the_arm_that_validation_chose(study):
    rows = [row for row in read_metrics(study.metrics) if row.model == MODELS[0] and row.arm != "zero-shot"]
    worst = {
        vital: max((r for r in rows if r.vital == vital), key=lambda row: row.mse).arm for vital in VITALS
    }
    changed = [
        replace(row, validation_wql=1e-9) if row.model == MODELS[0] and row.arm == worst[row.vital] else row
        for row in read_metrics(study.metrics)
    ]
    collected = collect_study(changed, sources(study))
    sections = [horizon_section(collected), group_section(collected)]
    figures = [figure for section in sections for block in section.blocks for figure in block.figures]
    assert len(figures) > 4
    for figure in figures:
        shown = {row["arm"] for row in figure.rows if row["model"] == MODELS[0]}
        assert shown == {worst[figure.rows[0]["vital"]]}
        assert "the recommended arm" in caption(figure.kind)


def test_missing_sources_are_named(study, tmp_path):
    rows = read_metrics(study.metrics)
    with pytest.raises(UserError, match=r"heart_rate\.parquet"):
        collect_study(rows, sources(study, windows=tmp_path))
    section = cohort_section(collect_study(rows, sources(study, cohorts=None)))
    assert "No description of this cohort was given" in section.blocks[0].text


def test_forecasts_of_other_windows_are_refused(tmp_path):
    study = fabricate_study(tmp_path, models=MODELS[:1], arms=("full",), vitals=("heart_rate",))
    import pyarrow.parquet as pq

    path = study.runs / "explicit/heart_rate/chronos-t5-nano/full/seed0/forecasts.parquet"
    pq.write_table(pq.read_table(path).slice(12), path)
    with pytest.raises(UserError, match="forecasts of other windows"):
        report_of(study)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="no readable table of forecasts"):
        report_of(study)
    path.unlink()
    with pytest.raises(UserError, match=r"forecasts\.parquet"):
        report_of(study)


def test_names_are_those_that_a_clinician_reads(page):
    visible = re.sub(
        r"<code>.*?</code>|<style.*?</style>|<script.*?</script>", "", page.html, flags=re.DOTALL
    )
    text = re.sub(r"<[^>]*>", " ", visible)
    for name in ("mean_blood_pressure", "heart_rate", "horizon_step"):
        assert name not in text
    assert "Mean blood pressure" in text
    assert "LoRA, rank 2" in text
    assert model_name("moirai-1.1-R-small") == "MOIRAI 1.1 small"
    assert model_name("chronos-2-small-multivariate") == "Chronos-2 small, with other vital signs"
    assert (
        capital(run_name("n-hits-hr", "trained-dilate"))
        == "N-HiTS (settings for heart rate), trained, DILATE loss"
    )


def test_breakdowns_follow_the_tables_order(study, report):
    rows = read_rows(study.table("breakdown"), BreakdownRow)
    onset = next(figure for figure in report.figures if figure.kind == "error-by-hours-from-onset")
    levels = (row.level.replace("-", "\N{MINUS SIGN}") for row in rows if row.dimension == "hours_from_onset")
    expected = dict.fromkeys(levels)
    assert list(dict.fromkeys(row["level"] for row in onset.rows)) == list(expected)
    ahead = next(figure for figure in report.figures if figure.kind == "error-by-hours-ahead")
    assert max(row["hours_ahead"] for row in ahead.rows) == 12


def test_a_baseline_that_is_added_is_no_foundation_model(study, monkeypatch):
    monkeypatch.setitem(BASELINES, "drift", replace(BASELINES["persistence"], name="drift", label="drift"))
    rows = [
        replace(row, model="drift") if row.model == "persistence" else row
        for row in read_metrics(study.metrics)
    ]
    collected = collect_study(rows, sources(study))
    assert "drift" not in collected.model_indices
    assert {arm.kind for task in collected.tasks for arm in task.arms if arm.first.model == "drift"} == {
        "baseline"
    }
    assert not any("drift" in caveat for caveat in caveats(collected))


def test_a_multivariate_variant_of_a_stand_in_is_a_stand_in_too(study):
    rows = [
        replace(row, model=f"{MODELS[1]}-multivariate")
        for row in read_metrics(study.metrics)
        if row.model == MODELS[1]
    ]
    found = caveats(collect_study(rows, sources(study)))
    assert any(caveat.startswith("Stand-in weights: MOIRAI nano, with other vital signs") for caveat in found)


@pytest.mark.parametrize(("protocol", "said"), [("paper", True), ("standard", False)])
def test_the_papers_protocol_is_named_with_what_its_samples_cost(study, protocol, said):
    """Closed form for 20 samples: 80 % x 19 / 21 = 72.4 %; pi / 2 / 20 = 8 %."""
    given = sources(study)
    settings = {**given.settings, "forecast": {"protocol": protocol, "samples": 20}}
    found = caveats(collect_study(read_metrics(study.metrics), replace(given, settings=settings)))
    noise = [caveat for caveat in found if caveat.startswith("Sampling noise")]
    assert bool(noise) == said
    assert all("covers 72.4 %" in caveat and "some 8 % of" in caveat for caveat in noise)


@pytest.mark.parametrize(("dataset", "few"), [("mimic-iii-demo", "3"), ("our-hospital", "<11")])
def test_what_was_found_in_the_raw_files_and_what_they_cannot_tell_are_said(tmp_path, dataset, few):
    study = fabricate_study(tmp_path, models=(), arms=(), vitals=("heart_rate",), dataset=dataset)
    found = {
        "counts": {"stays": 40_336, "patients of unknown age": 3},
        "limits": ["Deaths are not in the data."],
    }
    page = page_of(study, reading=found)
    assert page.lines("stays") == [["stays", "40,336"]]
    assert page.lines("patients of unknown age") == [["patients of unknown age", few]]
    assert "What the data cannot tell: Deaths are not in the data." in page.text
