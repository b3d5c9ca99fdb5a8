"""The page of results of the documentation: what it says of a study is what the tables of its summary say."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from tests.reporting.fabricated_study import ARMS, MODELS, fabricate_study
from tests.reporting.report_page import sources
from workflow_scripts.evaluation.names import arm_name, model_name
from workflow_scripts.evaluation.summary import ComparisonRow, IntervalRow, read_metrics, read_rows
from workflow_scripts.reporting.known_truth import binomial_interval, known_truth_text
from workflow_scripts.reporting.results_page import make_results_page
from workflow_scripts.reporting.sections.answer import answer_section
from workflow_scripts.reporting.study import collect_study
from workflow_scripts.runtime.errors import UserError

SHIFT = {"model": "moirai-nano", "bias": -1.04, "bias_low": -2.0, "bias_high": -0.3}
RECOVERED = {"recovered": 0.9, "recovered_low": 0.82, "recovered_high": 1.01}
KNOWN_TRUTH = {
    "shift": [SHIFT | {"arm": "lora-r2"} | RECOVERED],
    "comparisons": [{"model": "moirai-nano", "arm": "lora-r2", "against_arm": "zero-shot", "claim": "lower"}],
    "null": [
        {"arm": "lora-r2", "seeds": 1, "pairs": 40, "alarms": 10, "claims": 4, "families": 20, "claiming": 3},
        {
            "arm": "zero-shot",
            "seeds": 1,
            "pairs": 40,
            "alarms": 2,
            "claims": 0,
            "families": 20,
            "claiming": 0,
        },
    ],
    "planted": 10.0,
    "unit": "bpm",
    "vital": "heart_rate",
    "vitals": ["heart_rate"],
    "models": ["moirai-nano"],
    "steps": 100,
    "seeds": {"shift": 3, "null": 12, "chance": 20},
    "patients": {"train": 70, "validation": 15, "test": 15},
    "confidence": 0.95,
}


def page_of(study, **changes):
    return make_results_page(read_metrics(study.metrics), sources(study), "figures/results", **changes)


def collect(study):
    return collect_study(read_metrics(study.metrics), sources(study))


@pytest.fixture(scope="module")
def made(study):
    return page_of(study)


def cells(text, name):
    """The cells of all table rows that begin with a name."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows if row[0] == name]


def test_every_arm_stands_with_its_error_and_its_interval_from_the_tables(study, made):
    for model in MODELS[:2]:
        for arm in ARMS[:4]:
            row = next(
                row
                for row in read_rows(study.intervals, IntervalRow)
                if (row.vital, row.model, row.arm, row.metric) == ("heart_rate", model, arm, "mse")
            )
            line = next(
                row for row in cells(made.text, f"{model_name(model)}, {arm_name(arm)}") if "(" in row[2]
            )
            expected = f"{1e4 * row.value:.2f}", f"({1e4 * row.low:.2f} – {1e4 * row.high:.2f})"
            assert all(number in line[2] for number in expected)


def test_bold_differences_are_those_that_holms_correction_leaves_and_no_others(study, made):
    rows = [row for row in read_rows(study.comparisons, ComparisonRow) if row.metric == "mse"]
    claimed = [row for row in rows if row.p_holm <= 0.05 and row.low * row.high > 0]
    assert 0 < len(claimed) < len(rows)
    parts = made.text.split("<summary>All planned comparisons</summary>")[1:]
    compared = "".join(part.partition("</details>")[0] for part in parts)
    assert len(re.findall(r"\| \*\*(?:lower|higher)\*\* \|", compared)) == len(claimed)
    assert compared.count("**") == 2 * len(claimed)
    assert len(re.findall(r"\| (?:< 0|\d)\.\d{3} \|", compared)) == len(rows)


def test_the_sentences_are_those_of_the_report(study, made):
    for block in answer_section(collect(study)).blocks:
        assert all(f"- {sentence}\n" in made.text for sentence in block.points)


def test_each_finding_stands_with_its_verdict_and_what_was_not_tested_with_its_reason(made):
    assert all(f"**{number}. " in made.text for number in range(1, 8))
    assert "1 of 7 claims could not be tested: there is no Chronos small." in made.text
    findings = made.text.partition("## The paper's seven findings")[2].partition("\n## ")[0]
    verdicts = re.findall(r"^\*\*\d\. .*\*\* (.*)$", findings, flags=re.MULTILINE)
    assert verdicts.count("disagrees") == 1
    assert verdicts.count("not tested") == 1


def test_the_figures_that_the_page_shows_are_those_that_come_with_it_and_small(made):
    shown = re.findall(r"!\[[^\]]+\]\(figures/results/([^)]+)\.svg\)", made.text)
    assert shown == [figure.name for figure in made.figures]
    assert {figure.kind for figure in made.figures} == {
        "error-by-rank",
        "error-and-parameters",
        "error-and-time",
    }
    assert sum(len(figure.file_svg.encode()) for figure in made.figures) < 150_000


def test_a_reader_survives_the_page_and_no_table_is_torn(made):
    visible = re.sub(r"<details>.*?</details>", "", made.text, flags=re.DOTALL)
    assert len(visible.splitlines()) < 400
    assert len(made.text.splitlines()) < 500
    tables = re.findall(r"(?:^\|.*\n)+", made.text, flags=re.MULTILINE)
    assert len(tables) > 8
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert "\n\n\n" not in made.text


def test_without_intervals_nothing_is_claimed(tmp_path):
    small = fabricate_study(
        tmp_path,
        models=MODELS[:1],
        arms=ARMS[:4],
        test_windows=12,
        cohorts=("sepsis3", "explicit"),
        dataset="mimic-iii-demo",
    )
    text = page_of(small).text
    assert "\n\n\n" not in text
    assert "the comparison could not be made" not in text
    assert "## Other domains, and transfer between them" in text
    assert "could not be made." in text
    assert "the smallest test split here has 4" in text
    parts = text.split("<summary>All planned comparisons</summary>")[1:]
    compared = "".join(part.partition("</details>")[0] for part in parts)
    assert "4 test patients: fewer than 10" in compared
    assert not re.search("lower|higher|inconclusive", compared)


def test_a_failed_arm_is_shown_with_its_reason(tmp_path):
    failed = fabricate_study(
        tmp_path, models=MODELS[:1], arms=ARMS[:3], vitals=("heart_rate",), failed=[(MODELS[0], "full")]
    )
    text = page_of(failed).text
    assert re.search(r"^\| Heart rate.*full fine-tuning, seed 0 \| .*not finite", text, flags=re.MULTILINE)


def test_data_that_are_not_open_make_no_page(tmp_path):
    closed = fabricate_study(
        tmp_path,
        models=MODELS[:1],
        arms=ARMS[:1],
        vitals=("heart_rate",),
        dataset="mimic-iii",
        statistics=False,
    )
    with pytest.raises(UserError, match="mimic-iii"):
        page_of(closed)


@pytest.fixture
def project(study, tmp_path):
    """The study where the workflow would have put it."""
    results, data = tmp_path / "results" / "simulated", tmp_path / "data" / "simulated"
    (results / "summary" / "settings").mkdir(parents=True)
    for table in study.folder.glob("*.csv"):
        shutil.copy(table, results / "summary")
    shutil.copy(study.settings, results / "summary" / "settings" / "make_report.json")
    shutil.copytree(study.runs, results / "runs")
    shutil.copytree(study.windows, data / "windows")
    shutil.copytree(study.folder / "cohorts", data / "cohorts")
    return tmp_path


def run(project, *options):
    command = [
        sys.executable,
        "-m",
        "workflow_scripts.steps.document_results",
        "--project",
        str(project),
        *options,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_step_writes_the_page_and_its_figures_beside_it(project):
    (project / "known_truth.json").write_text(json.dumps(KNOWN_TRUTH))
    page = project / "docs" / "results-simulated.md"
    truth = ("--known-truth", str(project / "known_truth.json"))
    done = run(project, "--dataset", "simulated", "--output", str(page), *truth)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert "## Where the truth is known" in text
    named = re.findall(r"\]\((figures/[^)]+)\)", text)
    assert named
    assert all((page.parent / name).read_text().startswith("<svg") for name in named)
    assert str(project) not in text


def test_the_step_refuses_credentialed_data_before_it_reads_anything(tmp_path):
    done = run(tmp_path, "--dataset", "mimic-iii", "--output", str(tmp_path / "page.md"))
    assert done.returncode == 1
    assert "the documentation is public" in done.stderr
    assert not (tmp_path / "page.md").exists()


def test_false_alarms_above_the_nominal_level_are_called_so():
    text = known_truth_text(KNOWN_TRUTH)
    assert "Trained arms, 1 seed: the rate of false alarms is above the nominal level." in text
    assert (
        "Zero-shot, 1 seed: the rate of false alarms is not distinguishable from the nominal level." in text
    )
    assert "10 of 40: 25.0 % (12.7 % to 41.2 %)" in text


def test_a_shift_that_was_recovered_is_said_with_its_interval():
    line = cells(known_truth_text(KNOWN_TRUTH), "MOIRAI nano, LoRA, rank 2")[0]
    assert line[1:4] == [
        "\N{MINUS SIGN}1.0 (\N{MINUS SIGN}2.0 to \N{MINUS SIGN}0.3)",
        "90 % (82 % to 101 %)",
        "**lower**",
    ]
    assert "the interval holds all of it in 1 of 1 arms" in known_truth_text(KNOWN_TRUTH)


def test_the_exact_interval_is_clopper_and_pearsons():
    # 10 of 40 and 0 of 20, from the beta quantiles that define the interval.
    from scipy.stats import beta

    assert binomial_interval(10, 40, 0.95) == pytest.approx(
        (beta.ppf(0.025, 10, 31), beta.ppf(0.975, 11, 30))
    )
    assert binomial_interval(0, 20, 0.95) == pytest.approx((0.0, 1 - 0.025 ** (1 / 20)))
