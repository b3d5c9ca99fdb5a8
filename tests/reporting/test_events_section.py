"""The report's section on bedside events, and the leaderboard, from tables whose numbers are known."""

from dataclasses import replace

import pytest

from tests.evaluation.study_records import run_record, write_record
from workflow_scripts.evaluation.aggregation import collect_rows, summarise_arms
from workflow_scripts.evaluation.events.rows import EventCurveRow, EventRow
from workflow_scripts.evaluation.summary import LeaderboardRow
from workflow_scripts.reporting.sections.events import event_section
from workflow_scripts.reporting.sections.leaderboard import leaderboard_section
from workflow_scripts.reporting.study import ForecastTask, Sources, Study

MODEL, VITAL = "chronos-t5-nano", "mean_blood_pressure"


def row(model, arm, **values):
    names = {"cohort": "explicit", "vital": VITAL, "event": "hypotension", "condition": "< 65"}
    names |= {"population": "onset", "form": "at", "lead_minutes": 60, "model": model, "arm": arm}
    counts = {
        "seeds": 1,
        "patients": 300,
        "windows": 900,
        "events": 210,
        "patients_with_event": 90,
        "prevalence": 0.1,
    }
    return EventRow(**names | counts | values)


def hidden(lead):
    nothing = dict.fromkeys(("seeds", "patients", "windows", "events", "patients_with_event", "prevalence"))
    reason = "fewer than 11 test patients with this event"
    return row("", "", lead_minutes=lead, reason=reason, **nothing)


CLAIMED = {
    "above_logistic": -0.004,
    "above_logistic_low": -0.006,
    "above_logistic_high": -0.002,
    "p_holm": 0.01,
}
ROWS = [
    row("last-value", "event-baseline", auroc=0.85),
    row("logistic-regression", "event-baseline", auroc=0.88, brier=0.07),
    row(MODEL, "zero-shot", auroc=0.84, brier=0.08, above_logistic=0.01, above_logistic_low=0.005,
        above_logistic_high=0.02, p_holm=0.002),
    row(MODEL, "lora-r2", auroc=0.91, auroc_low=0.88, auroc_high=0.94, brier=0.066, **CLAIMED),
    hidden(180),
]  # fmt: skip


@pytest.fixture
def study(tmp_path):
    """A study of which validation recommends lora-r2."""

    def make(events=(), curves=(), leaderboard=()):
        records = [run_record(vital=VITAL, arm=arm) for arm in ("zero-shot", "lora-r2")]
        records[1]["validation_metrics"]["wql"] = 0.01
        folder = tmp_path / str(len([*tmp_path.iterdir()]))
        rows = collect_rows([write_record(folder, record) for record in records])
        task = ForecastTask("simulated", "explicit", VITAL, "mmHg", 60, summarise_arms(rows), False)
        sources = Sources(
            folder, folder, None, {}, events=events, event_curves=curves, leaderboard=leaderboard
        )
        return Study(rows, [task], {MODEL: 0}, sources)

    return make


def test_the_table_has_the_recommended_arm_first_and_the_baselines(study):
    (block,) = event_section(study(ROWS)).blocks
    (table,) = block.tables
    lines = table.groups[0].lines
    assert [line.name for line in lines] == [
        "Chronos-T5 nano, LoRA, rank 2",
        "Last value",
        "Logistic regression",
    ]
    assert lines[0].cells[0].text == "0.910"
    assert lines[0].cells[0].below == "0.880 – 0.940"
    assert lines[0].cells[3].mark == "good"
    assert "prevalence 10.0 %" in table.label
    assert "210 events of 90 patients" in table.label


@pytest.mark.parametrize(
    ("values", "mark"),
    [
        (CLAIMED, "good"),
        (CLAIMED | {"p_holm": 0.06}, ""),
        (CLAIMED | {"above_logistic_high": 0.001}, ""),
        (
            CLAIMED | {"above_logistic_low": 0.001, "above_logistic_high": 0.002, "above_logistic": 0.0015},
            "bad",
        ),
    ],
)
def test_a_difference_is_claimed_by_its_interval_and_its_corrected_p_value_together(study, values, mark):
    rows = [ROWS[1], row(MODEL, "lora-r2", **values)]
    (block,) = event_section(study(rows)).blocks
    assert block.tables[0].groups[0].lines[0].cells[3].mark == mark


def test_what_is_hidden_is_said_once_with_its_lead(study):
    (block,) = event_section(study(ROWS)).blocks
    assert block.text == "Not shown 3 h ahead: fewer than 11 test patients with this event."


def test_a_study_without_events_says_so(study):
    section = event_section(study())
    assert section.blocks == []
    assert "No vital sign of this study shows an event" in section.missing


def test_the_figures_draw_the_recommended_arm_beside_everyone_and_nobody(study):
    names = [
        (MODEL, "lora-r2"),
        (MODEL, "zero-shot"),
        *((name, "event-baseline") for name in ("all", "none")),
    ]
    curves = [
        EventCurveRow(
            "explicit", VITAL, "hypotension", "< 65", lead, model, arm, "decision", 0.1 * x, 0.01 * x
        )
        for model, arm in names
        for lead in (60, 180)
        for x in (1, 2)
    ]
    section = event_section(study(ROWS, curves))
    (figure,) = section.figures
    assert {point["name"] for point in figure.rows} == {"Chronos-T5 nano, LoRA, rank 2", "All", "None"}
    assert len(figure.rows) == 6
    assert "1 h ahead" in figure.title
    assert "<svg" in figure.svg


def board(model, arm, skill, **values):
    return LeaderboardRow("wql", model, arm, 2, 0, "persistence", skill, 0.75, 1.5, **values)


def test_the_leaderboard_is_sortable_and_in_its_given_order(study):
    rows = [
        board(MODEL, "lora-r2", 0.25, skill_low=0.2, skill_high=0.3),
        board("persistence", "baseline", 0.0),
        replace(board(MODEL, "lora-r2", 0.2), metric="mse"),
    ]
    section = leaderboard_section(study(leaderboard=rows))
    first, second = (block.tables[0] for block in section.blocks)
    assert (first.sortable, first.folded, second.folded) == (True, "", "By MSE")
    assert [line.name for line in first.groups[0].lines] == [
        "Chronos-T5 nano, LoRA, rank 2",
        "Last value carried forward",
    ]
    assert first.groups[0].lines[0].cells[0].text == "+25.0 %"
    assert first.groups[0].lines[0].cells[0].below == "+20.0 % to +30.0 %"
    assert "2 pairs of vital sign and cohort" in section.lead


def test_without_a_baseline_the_lead_says_why_there_is_no_skill(study):
    reason = "no skill: theta is not among the complete arms of this study"
    section = leaderboard_section(study(leaderboard=[board(MODEL, "full", None, reason=reason)]))
    assert "No skill: theta is not among" in section.lead
    assert section.blocks[0].tables[0].groups[0].lines[0].cells[0].text == "–"
