"""Checks that the answer's sentences claim what the intervals show, and nothing else: fabricated rows of all kinds."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reporting.fabricated_study import MODELS
from tests.reporting.report_page import sources
from workflow_scripts.evaluation.names import model_name, run_name
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.summary import ComparisonRow, RankRow, read_metrics
from workflow_scripts.reporting.sections.answer import against, answers, rank_answer
from workflow_scripts.reporting.sections.headline import headline_section
from workflow_scripts.reporting.statistics import Statistics, chosen_rank, claim, rank_thresholds
from workflow_scripts.reporting.study import collect_study

LEVEL = 0.05
NAMES = {model: model_name(model) for model in ("chronos-t5-tiny", "moirai-1.1-R-small", "lag-llama")}

ends = st.one_of(st.none(), st.floats(-1e6, 1e6), st.floats(-1e-9, 1e-9))
shares = st.one_of(st.none(), st.floats(0, 1), st.just(LEVEL), st.just(LEVEL + 1e-12))


def comparison(model="lag-llama", arm="lora-r2", low=-2e-4, high=-1e-4, p_holm=0.01, **changes):
    values = {
        "cohort": "explicit",
        "vital": "heart_rate",
        "metric": "mse",
        "model": model,
        "arm": arm,
        "against_model": model,
        "against_arm": "zero-shot",
        "seeds": 3,
        "patients": 40,
        "windows": 120,
        "difference": None if low is None or high is None else (low + high) / 2,
        "low": low,
        "high": high,
        "monte_carlo_error": 0.0,
        "p_value": p_holm,
        "p_holm": p_holm,
        "comparisons": 12,
        "win_rate": 0.6,
        "tie_rate": 0.0,
        "reason": "",
    }
    return ComparisonRow(**(values | changes))


@st.composite
def comparisons(draw):
    rows = []
    for model in draw(st.lists(st.sampled_from(sorted(NAMES)), min_size=1, unique=True)):
        for rank in draw(st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, unique=True)):
            pair = [draw(ends), draw(ends)]
            low, high = sorted(pair) if None not in pair else pair
            rows.append(comparison(model, f"lora-r{rank}", low, high, draw(shares)))
    return rows


def said_of(sentence, phrase):
    """What a sentence says after a phrase, up to the next semicolon or its end."""
    found = re.search(rf"{phrase} (?:for )?(.*?)(?:;|\.$)", sentence)
    return found[1] if found else ""


@given(comparisons())
def test_a_difference_is_claimed_where_its_interval_and_its_corrected_p_value_show_it_and_nowhere_else(rows):
    sentence = against("LoRA", "zero-shot", rows, LEVEL)
    shown = {
        "lower": lambda row: (
            None not in (row.low, row.high, row.p_holm) and row.p_holm <= LEVEL and row.high < 0
        ),
        "higher": lambda row: (
            None not in (row.low, row.high, row.p_holm) and row.p_holm <= LEVEL and row.low > 0
        ),
    }
    phrases = {"lower": "the error is lower", "higher": "the error is higher"}
    for direction, test in shown.items():
        said = said_of(sentence, phrases[direction])
        for model, name in NAMES.items():
            own = [row for row in rows if row.model == model]
            assert (name in said) == any(map(test, own)), (direction, model, sentence)
            ranks = re.search(rf"{re.escape(name)} \(ranks? ([^)]*)\)", said)
            if ranks:
                expected = {row.arm.removeprefix("lora-r") for row in own if test(row)}
                assert set(re.findall(r"\d+", ranks[1])) == expected


@given(comparisons())
def test_every_model_is_spoken_of_and_what_could_not_be_compared_is_said_to_be(rows):
    sentence = against("LoRA", "zero-shot", rows, LEVEL)
    for row in rows:
        assert NAMES[row.model] in sentence
    missing = [row for row in rows if None in (row.low, row.high, row.p_holm)]
    assert ("could not be made" in sentence) == bool(missing)
    undecided = [row for row in rows if claim(row, LEVEL) == "open"]
    assert ("inconclusive" in sentence) == bool(undecided)


def test_an_interval_that_touches_zero_claims_nothing():
    assert claim(comparison(low=-1e-4, high=0.0), LEVEL) == "open"
    assert claim(comparison(low=0.0, high=1e-4), LEVEL) == "open"
    assert claim(comparison(low=-2e-4, high=-1e-4, p_holm=0.06), LEVEL) == "open"
    assert claim(comparison(), LEVEL) == "lower"


def test_a_single_seed_is_said_to_be_one():
    assert "(one seed)" in against("LoRA", "full", [comparison(seeds=1)], LEVEL)
    assert "one seed" not in against("LoRA", "full", [comparison(seeds=2)], LEVEL)


@given(st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_a_rank_is_called_enough_only_where_the_resamples_agree(share, confidence):
    row = RankRow("c", "v", "lag-llama", "lora", "mse", 4, 1, 40, 1e-3, 0.01, True, True, share, "")
    statistics = Statistics(parameters=EvaluationParameters(confidence=confidence))
    sentence = rank_answer([row, replace(row, rank=8, threshold=False, share=1 - share)], statistics)
    assert ("is rank 4 for Lag-Llama" in sentence) == (share >= confidence)
    assert ("not settled" in sentence) == (share < confidence)


def test_a_model_whose_ranks_gain_nothing_has_no_rank_that_is_enough():
    # What rank_threshold.csv held of MOIRAI nano, all of whose ranks are the base model: the first one is the smallest.
    reason = "no rank is better than zero-shot"
    idle = RankRow("c", "v", "moirai-nano", "lora", "mse", 1, 1, 40, 1e-3, 0.01, True, True, 1.0, reason)
    gaining = replace(idle, model="lag-llama", rank=4, reason="")
    sentence = rank_answer([idle, replace(idle, rank=8, threshold=False, share=0.0), gaining], Statistics())
    assert "of the best is rank 4 for Lag-Llama" in sentence
    assert sentence.endswith(f"no LoRA rank is called enough for MOIRAI nano: {reason}.")
    assert rank_answer([idle], Statistics()) == f"No LoRA rank is called enough for MOIRAI nano: {reason}."
    of_models = rank_thresholds([idle, gaining]).values()
    assert [(chosen_rank(rows), rows[0].reason) for rows in of_models] == [(None, reason), (4, "")]


def test_without_ranks_nothing_is_said_of_them():
    assert rank_answer([], Statistics()) == ""


@pytest.fixture(scope="module")
def collected(study):
    given_sources = sources(study)
    return collect_study(read_metrics(study.metrics), given_sources)


def test_the_first_sentence_holds_what_validation_recommends_and_the_first_one_s_test_error(collected):
    task = collected.tasks[0]
    whole = [row for row in collected.rows if row.vital == task.vital and row.arm != "baseline"]
    best = min(whole, key=lambda row: row.validation_wql)
    interval = next(
        row
        for row in collected.sources.statistics.intervals
        if (row.vital, row.model, row.arm, row.metric) == (task.vital, best.model, best.arm, "mae")
    )
    sentence = answers(collected, task)[0]
    assert sentence.startswith(f"Recommended, on validation alone: {run_name(best.model, best.arm)}, ")
    assert f"misses by {best.mae:.1f}\N{NO-BREAK SPACE}bpm on average" in sentence
    assert f"(95 % interval {interval.low:.1f} to {interval.high:.1f})" in sentence
    for model in {row.model for row in whole}:
        own = min((row for row in whole if row.model == model), key=lambda row: row.validation_wql)
        assert run_name(own.model, own.arm) in sentence


def test_what_is_recommended_is_no_claim_that_another_arm_is_worse(collected):
    for task in collected.tasks:
        first = answers(collected, task)[0]
        # Whether two arms differ is said of planned comparisons alone, which are corrected for their number.
        assert not re.search("larger|other arm|told apart", first)


def test_arms_that_are_the_untrained_model_still_are_said_to_have_learned_nothing(study):
    rows = [
        replace(row, best_step=row.best_step and 0)
        if row.model == MODELS[1] and row.vital == "heart_rate"
        else row
        for row in read_metrics(study.metrics)
    ]
    idle = collect_study(rows, sources(study))
    names = f"{model_name(MODELS[1])} (full fine-tuning; LoRA, ranks 1 and 2)"
    for task in idle.tasks:
        said = [sentence for sentence in answers(idle, task) if "Nothing was learned" in sentence]
        expected = (
            f"Nothing was learned by {names}: no step lowered the validation loss, so the forecasts are those"
        )
        assert [sentence.startswith(expected) for sentence in said] == [True] * (task.vital == "heart_rate")
    remarks = [
        line.remark
        for block in headline_section(idle).blocks
        for table in block.tables
        for group in table.groups
        for line in group.lines
        if line.remark
    ]
    assert any(
        remark.startswith("Heart rate, full fine-tuning; LoRA, ranks 1 and 2: no step") for remark in remarks
    )


def test_two_arms_with_the_same_forecasts_are_called_the_same_not_undecided():
    same = comparison(low=0.0, high=0.0, p_holm=1.0)
    assert claim(same, LEVEL) == "same"
    sentence = against("LoRA", "zero-shot", [same], LEVEL)
    assert sentence == "LoRA against zero-shot: the errors are exactly the same for Lag-Llama."
    # A difference of nothing with an interval of some width is another thing.
    assert claim(replace(same, high=1e-5), LEVEL) == "open"


def test_without_intervals_no_difference_is_claimed(study):
    plain = collect_study(read_metrics(study.metrics), sources(study, statistics=Statistics()))
    for task in plain.tasks:
        sentences = answers(plain, task)
        assert len(sentences) == 1
        assert "No difference is claimed: no intervals were computed" in sentences[0]
        assert "interval " not in sentences[0].replace("no intervals", "")


def test_the_answer_stands_before_everything_else(page):
    start = page.html.index('id="answer"')
    assert start < page.html.index('id="caveats"') < page.html.index('id="headline"')
    # Before it stands only what to read it with, in a few words.
    before = page.text[: page.text.index("The answer")]
    assert "Limits of this run · Simulated patients · Stand-in weights · One seed" in before
    assert all(model_name(model) in page.text for model in MODELS[:2])
