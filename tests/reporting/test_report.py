"""Checks of the report as a reader meets it: parsed HTML of fabricated studies."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from fabricated_study import ARMS, MODELS, START, STAY_ID, SUBJECT_ID, fabricate_study

from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.summary import ComparisonRow, IntervalRow, RankRow, read_metrics, read_rows
from workflow_scripts.reporting.report import Sources, render_report
from workflow_scripts.reporting.statistics import Statistics, comparison_part, read_statistics
from workflow_scripts.runtime.errors import UserError


class Page(HTMLParser):
    """Collects elements, ids, and the text of table rows."""

    def __init__(self, html):
        super().__init__()
        self.html, self.elements, self.rows, self.text = html, [], [], ""
        self._in_style = self._in_cell = False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._in_style = tag == "style"
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_data(self, data):
        if self._in_style:
            return
        self.text += data
        if self._in_cell:
            self.rows[-1][-1] += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._in_cell = False

    def found(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def lines(self, arm):
        """Cells of the headline tables' rows of one arm."""
        return [[cell.strip() for cell in row] for row in self.rows if row and row[0].strip() == arm]


def render(study, with_statistics=True):
    settings = json.loads(study.settings.read_text())["parameters"]
    parameters = EvaluationParameters(**settings["evaluation"])
    statistics = read_statistics(study.intervals, study.comparisons, study.rank_threshold, parameters)
    sources = Sources(
        study.runs, study.windows, study.attrition, settings, statistics if with_statistics else Statistics()
    )
    return Page(render_report(read_metrics(study.metrics), sources))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return fabricate_study(tmp_path_factory.mktemp("study"), arms=ARMS[:4])


@pytest.fixture(scope="module")
def page(study):
    return render(study)


def test_the_step_writes_one_page_that_needs_nothing_from_outside(study, tmp_path):
    output = tmp_path / "report.html"
    command = [sys.executable, "-m", "workflow_scripts.make_report", "--settings", study.settings]
    command += ["--metrics", study.metrics, "--runs", study.runs, "--windows", study.windows]
    command += ["--attrition", *study.attrition, "--intervals", study.intervals]
    command += ["--comparisons", study.comparisons, "--rank-threshold", study.rank_threshold]
    command += ["--output", output]
    subprocess.run(list(map(str, command)), check=True)
    html = output.read_text()
    assert len(html) < 5_000_000
    page = Page(html)
    assert not page.found("script") + page.found("link") + page.found("iframe") + page.found("img")
    references = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("href", "src", "xlink:href")
    ]
    assert references
    assert all(reference.startswith("#") for reference in references)
    assert not re.search(r"@import|url\((?!#)", html)
    assert not list(tmp_path.glob(".*.part"))


def test_the_same_study_gives_the_same_bytes(study, page):
    assert render(study).html == page.html


def test_every_reference_points_to_one_element(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = set(re.findall(r'href="#([^"]+)"', page.html)) | set(re.findall(r"url\(#([^)]+)\)", page.html))
    targets |= {
        name for _, attributes in page.elements for name in attributes.get("aria-labelledby", "").split()
    }
    assert targets <= set(ids)


def test_every_figure_has_a_text_alternative_and_follows_the_theme(page):
    figures = page.found("svg")
    # Two vital signs with two error figures, three rank panels, one of mean ranks and three examples each; one
    # attrition figure.
    assert len(figures) == 2 * (2 + 3 + 1 + 3) + 1
    assert all(figure["role"] == "img" and figure["aria-labelledby"] for figure in figures)
    assert len(page.found("desc")) == len(figures)
    assert "#fe0" not in page.html
    assert "var(--series-2)" in page.html
    # Matplotlib's default black would vanish on a dark page.
    assert not re.search(r"(fill|stroke): ?#0000", page.html)


def test_the_headline_table_holds_the_numbers_of_the_summary(study, page):
    rows = [row for row in read_metrics(study.metrics) if row.arm == "lora-r2" and row.model == MODELS[0]]
    heart_rate = page.lines("lora-r2")[0]
    values = (rows[0].mse * 1e4, rows[0].mape, rows[0].dtw * 1e3, rows[0].mae)
    for cell, value in zip(heart_rate[1:5], values, strict=True):
        assert cell.startswith(f"{value:.2f}")
    assert heart_rate[5].startswith(f"{100 * rows[0].coverage_80:.2f}")
    assert heart_rate[6] == "3,072"


def test_the_best_of_each_column_is_marked_once_for_each_vital_sign(study, page):
    best = min(
        (row for row in read_metrics(study.metrics) if row.vital == "heart_rate"), key=lambda row: row.mse
    )
    assert page.html.count("(best)") == 5 * 2
    assert f"Smallest MSE: {best.model}, {best.arm}, with {best.mse * 1e4:.2f}" in page.text


def test_every_error_has_its_interval_below_it(study, page):
    rows = {
        (row.model, row.arm, row.metric): row
        for row in read_rows(study.intervals, IntervalRow)
        if row.vital == "heart_rate"
    }
    factors = {"mse": 1e4, "mape": 1, "dtw": 1e3, "mae": 1, "coverage_80": 100}
    for line, model in zip(page.lines("full"), MODELS, strict=False):
        for cell, (metric, factor) in zip(line[1:6], factors.items(), strict=True):
            row = rows[model, "full", metric]
            assert cell.endswith(f"{row.low * factor:.2f} – {row.high * factor:.2f}")
    assert "Small figures: 95 % intervals over 20 test patients." in page.text


def test_what_the_paired_interval_does_not_tell_from_the_best_is_marked(study, page):
    rows = [row for row in read_rows(study.intervals, IntervalRow) if row.vital == "heart_rate"]
    near = [row for row in rows if row.above_best_low is not None and row.above_best_low <= 0]
    shown = [row for row in near if row.metric in ("mse", "mape", "dtw", "mae")]
    heart_rate = page.html[: page.html.index('aria-labelledby="explicit-mean_blood_pressure"')]
    assert heart_rate.count("(not distinguishable from the best)") == len(shown) > 0
    number = sum(row.metric == "mse" for row in near)
    others = sum(row.metric == "mse" for row in rows) - 1
    assert 0 < number < others
    assert f"Not distinguishable from the smallest: {number} of {others} other arms" in page.text


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
        f"lower in {lower} and higher in {len(told) - lower}; the other {len(rows) - len(told)} are not told apart."
    ) in page.text
    for row in rows:
        cells = next(
            cells
            for cells in page.rows
            if cells[0] == f"{row.model}, {row.arm}"
            and len(cells) == 7
            and cells[1] in (row.against_arm, row.against_model)
        )
        assert float(cells[2].replace("−", "-")) == pytest.approx(row.difference * 1e4, abs=0.006)
        verdict = "not told apart" if row.p_holm > 0.05 else "lower" if row.difference < 0 else "higher"
        assert cells[6] == verdict


def test_the_shares_of_the_resamples_stand_beside_the_rank_they_choose(study, page):
    rows = [
        row
        for row in read_rows(study.rank_threshold, RankRow)
        if (row.vital, row.metric, row.model) == ("heart_rate", "mse", MODELS[0])
    ]
    chosen = next(row.rank for row in rows if row.threshold)
    cells = next(cells for cells in page.rows if cells[0] == f"{MODELS[0]}, lora")
    assert cells[1] == f"rank {chosen}"
    for row, cell in zip(rows, cells[2:], strict=True):
        assert cell == (f"{100 * row.share:.0f} %" if row.share == 0 or row.share >= 0.01 else "< 1 %")


def test_the_figure_of_ranks_tells_its_intervals_in_words(study, page):
    row = next(
        row
        for row in read_rows(study.intervals, IntervalRow)
        if (row.vital, row.model, row.arm, row.metric) == ("heart_rate", MODELS[0], "lora-r1", "mse")
    )
    words = f"rank 1: {row.value * 1e4:.3g} ({row.low * 1e4:.3g} to {row.high * 1e4:.3g})"
    assert words in page.html


def test_the_figure_of_mean_ranks_says_which_arms_are_not_told_apart_from_the_best(study, page):
    rows = [
        row
        for row in read_rows(study.intervals, IntervalRow)
        if (row.vital, row.metric) == ("heart_rate", "mse")
    ]
    best = min(row.mean_rank for row in rows)
    near = sum(row.mean_rank <= best + row.critical_difference for row in rows) - 1
    assert 0 < near < len(rows) - 1
    words = f"{near} arms lie within the critical difference of the best, {rows[0].critical_difference:.2f}."
    assert words in page.html


def test_with_too_few_patients_no_difference_is_claimed(tmp_path):
    page = render(fabricate_study(tmp_path, models=MODELS[:1], vitals=("heart_rate",), test_windows=27))
    assert "There are no intervals (9 test patients: fewer than 10): no difference is claimed." in page.text
    assert "10 comparisons of MSE were planned, 10 could not be made." in page.text
    assert "(not distinguishable" not in page.html
    assert "Small figures" not in page.text
    assert all(re.fullmatch(r"[\d.]+( \(best\))?", line[1]) for line in page.lines("full"))


def test_intervals_over_few_patients_are_called_too_narrow(page):
    assert "20 test patients: with fewer than 40, intervals are too narrow" in page.text


def test_a_family_too_large_for_the_resamples_is_said_to_be(study):
    rows = read_rows(study.comparisons, ComparisonRow)
    parameters = EvaluationParameters(resamples=400)
    part = comparison_part(Statistics(comparisons=rows, parameters=parameters), "explicit", "heart_rate")
    # 2 / 401 times 18 comparisons is more than 0.05; 720 is 2 x 18 / 0.05.
    assert len(part.lines) == 18
    assert "With 400 resamples no p-value can be small enough" in part.sentence
    assert "must be at least 720" in part.sentence


def test_the_coverage_of_a_point_forecast_is_never_marked_as_best(tmp_path):
    page = render(fabricate_study(tmp_path, models=(), arms=(), vitals=("heart_rate",)))
    assert page.html.count("(best)") == 4
    assert "Best without adaptation" not in page.text


def test_no_mark_of_a_patient_is_in_the_page(page):
    for mark in (SUBJECT_ID, STAY_ID, START[:10], START[11:]):
        assert str(mark) not in page.html


def test_what_the_run_is_not_comes_first(page):
    caveats = page.text[: page.text.index("Smallest MSE")]
    assert "Simulated patients" in caveats
    assert "not the published foundation models" in caveats
    assert "One seed" in caveats


def test_attrition_published_numbers_and_provenance_are_there(page):
    assert ["charted values", "188", "183", "138"] in [[cell.strip() for cell in row] for row in page.rows]
    assert ["N-HiTS", "without", "18.02", "7.46", "20.46", "7.22", "6.38", "13.97"] in page.rows
    assert "0123456789ab" in page.text
    assert "torch 2.13.0" in page.text
    assert "windows.split" in page.text


def test_real_patients_of_credentialed_data_are_not_shown(tmp_path):
    study = fabricate_study(tmp_path, dataset="mimic-iii", vitals=("heart_rate",), arms=("zero-shot",))
    for path in study.runs.rglob("forecasts.parquet"):
        path.unlink()
    page = render(study)
    assert "Example forecasts" not in page.text
    assert "Simulated patients" not in page.text


def test_without_statistics_seeds_are_shown_as_mean_with_extremes_and_nothing_is_claimed(tmp_path):
    study = fabricate_study(
        tmp_path, models=MODELS[:1], arms=("full", "lora-r2"), seeds=(0, 1, 2), vitals=("heart_rate",)
    )
    errors = [row.mse * 1e4 for row in read_metrics(study.metrics) if row.arm == "full"]
    page = render(study, with_statistics=False)
    expected = f"{sum(errors) / 3:.2f}{min(errors):.2f} – {max(errors):.2f}"
    assert "These are point estimates without intervals" in page.text
    assert "distinguishable" not in page.text
    assert page.lines("full")[0][1].replace(" (best)", "") == expected
    assert "One seed" not in page.text
    assert "3 seeds: with fewer than 5" in page.text


def test_a_failed_arm_is_shown_with_its_reason_and_without_numbers(tmp_path):
    study = fabricate_study(tmp_path, arms=ARMS[:3], failed=[("moirai-nano", "full")], vitals=("heart_rate",))
    page = render(study)
    failed = next(line for line in page.lines("full") if line[1] == "–")
    assert set(failed[1:6]) == {"–"}
    # In the headline table, among the failures, and in its three planned comparisons.
    assert page.text.count("forecast not finite in 3 of 120 test windows") == 2 + 3
    assert "Failures" in page.text


def test_each_method_with_ranks_has_a_figure_of_its_own(tmp_path):
    arms = ("zero-shot", "dora-r2", "dora-r4", "lora-r2", "lora-r4")
    page = render(fabricate_study(tmp_path, models=MODELS[:1], arms=arms, vitals=("heart_rate",)))
    titles = re.findall(r">([^<]*: error against rank)<", page.html)
    assert titles == [f"{MODELS[0]}, dora: error against rank", f"{MODELS[0]}: error against rank"]


def test_a_rank_that_failed_leaves_a_gap_with_a_word(tmp_path):
    study = fabricate_study(
        tmp_path, models=MODELS[:1], failed=[(MODELS[0], "lora-r4")], seeds=(0, 1), vitals=("heart_rate",)
    )
    page = render(study)
    assert "rank 4: failed" in page.text
    assert "each of 2 seeds: forecast not finite in 3 of 120 test windows" in page.text


@pytest.mark.parametrize(
    "changes",
    [
        {"models": MODELS[:1], "arms": ("zero-shot",)},
        {"models": MODELS[:1], "arms": ("full", "lora-r2"), "cohorts": ("explicit", "angus")},
        {"models": (), "arms": ()},
        {"models": MODELS[:1], "arms": ("lora-r2",), "naive": False},
        {
            "models": MODELS[:2],
            "arms": ARMS[:3],
            "failed": [(m, a) for m in MODELS for a in ARMS],
            "naive": False,
        },
        {"models": tuple(f"chronos-t5-nano-{k}" for k in range(15)), "arms": ("zero-shot", "lora-r2")},
    ],
    ids=[
        "zero-shot only",
        "two cohorts",
        "references only",
        "one arm",
        "all failed",
        "more models than colours",
    ],
)
def test_a_study_with_missing_parts_still_gives_a_page(tmp_path, changes):
    page = render(fabricate_study(tmp_path, vitals=("heart_rate",), **changes))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert "Provenance" in page.text
    assert ("No arm gave a finite error" in page.text) == ("failed" in changes)


def test_errors_far_apart_are_drawn_on_a_logarithmic_axis_and_printed_in_full(tmp_path):
    study = fabricate_study(tmp_path, models=MODELS[:1], arms=ARMS[:3], vitals=("heart_rate",))
    text = study.metrics.read_text().splitlines()
    columns = text[0].split(",")
    cells = text[-1].split(",")
    cells[columns.index("mse")] = "12345.6"
    study.metrics.write_text("\n".join([*text[:-1], ",".join(cells)]) + "\n")
    page = render(study)
    assert page.lines("lora-r1")[0][1].startswith("1.23e+08")


def test_missing_sources_are_named(study, tmp_path):
    rows = read_metrics(study.metrics)
    missing = tmp_path / "none.attrition.csv"
    with pytest.raises(UserError, match=r"none\.attrition\.csv"):
        render_report(rows, Sources(study.runs, study.windows, [missing], {}))
    with pytest.raises(UserError, match=r"heart_rate\.parquet"):
        render_report(rows, Sources(study.runs, tmp_path, study.attrition, {}))


def test_forecasts_of_other_windows_are_refused(tmp_path):
    study = fabricate_study(tmp_path, models=MODELS[:1], arms=("full",), vitals=("heart_rate",))
    import pyarrow.parquet as pq

    path = study.runs / "explicit/heart_rate/chronos-t5-nano/full/seed0/forecasts.parquet"
    pq.write_table(pq.read_table(path).slice(12), path)
    with pytest.raises(UserError, match="forecasts of other windows"):
        render(study)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="no readable table of forecasts"):
        render(study)
    path.unlink()
    with pytest.raises(UserError, match=r"forecasts\.parquet"):
        render(study)


def luminance(colour):
    """Relative luminance of WCAG 2.2."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_and_markers_stand_out_in_light_dark_and_print(page):
    themes = [
        dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", page.html, re.DOTALL)
    ]
    assert len(themes) == 3
    for theme in themes:
        for paper in (theme["paper"], theme["page"]):
            # WCAG 2.2: 4.5 for text, 3 for graphics.
            assert all(contrast(theme[name], paper) >= 4.5 for name in ("ink", "muted", "accent", "bad"))
            assert all(contrast(theme[f"series-{number}"], paper) >= 3 for number in range(7))
        assert contrast(theme["best-ink"], theme["best"]) >= 4.5
        assert contrast(theme["ink"], theme["warn"]) >= 4.5
