"""Checks of the verdicts on the paper's findings, on arms whose errors are known and vary as they are told to."""

import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.evaluation.study_records import run_record, write_record
from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.evaluation.aggregation import collect_rows, summarise_arms
from workflow_scripts.evaluation.findings import findings
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.patient_sums import RESAMPLED
from workflow_scripts.evaluation.resampled_task import ResampledArm, ResampledTask
from workflow_scripts.evaluation.summary import FindingRow, read_rows, rows_text

PAGE = Path(__file__).parents[2] / "docs" / "findings.md"
RESAMPLES = 400
CHRONOS_LORA = "chronos-t5-tiny", "lora-r4"
SPREAD = np.linspace(-1, 1, RESAMPLES)
"""Replicates lie evenly around the value, so that 95 % intervals are 95 % of their range: known without a bootstrap."""

PARAMETERS = {"chronos-t5-tiny": 8, "chronos-t5-small": 46, "moirai-1.0-R-small": 14, "moirai-1.0-R-base": 91}


@pytest.fixture
def task(tmp_path):
    """Make a task of arms: (model, arm) -> (error, spread of its replicates)."""

    def make(arms, vital="heart_rate", seeds=5, patients=40, failed=(), idle=(), **parameters):
        records = []
        for model, arm in arms:
            for seed in range(seeds):
                record = run_record(vital=vital, model=model, arm=arm, seed=seed)
                record["family"] = re.match("chronos|moirai|lag-llama|n-hits|persistence", model)[0]
                record["parameters"]["total"] = PARAMETERS.get(model, 1)
                if Arm.parse(arm).is_from_scratch:
                    record["training"] = run_record()["training"]
                if "-r" in arm:  # The highest rank is the best on validation.
                    record["validation_metrics"]["wql"] = 3 - 0.01 * record["rank"]
                if (model, arm) in idle:  # Validation kept the model as it was.
                    record["training"] = record["training"] | {"best_step": 0}
                if (model, arm) in failed:
                    record["counts"]["non_finite_windows"] = 2
                    record["metrics"] = dict.fromkeys(record["metrics"])
                records.append(record)
        folder = tmp_path / str(len([*tmp_path.iterdir()]))
        rows = collect_rows([write_record(folder, record) for record in records])
        resampled = []
        for summary in summarise_arms(rows):
            value, spread = arms[summary.first.model, summary.first.arm]
            values = np.full(len(RESAMPLED), value)
            replicates = np.repeat((value + spread * SPREAD)[:, None], len(RESAMPLED), axis=1)
            ones = np.ones((patients, len(RESAMPLED)))
            resampled.append(ResampledArm(summary, values, replicates, ones, ones))
        chosen = EvaluationParameters(resamples=RESAMPLES).model_copy(update=parameters)
        return ResampledTask(resampled, patients, 3 * patients, chosen)

    return make


def rows_of(task, finding, text=""):
    """The rows of one finding whose claim holds a text."""
    return [row for row in findings(task) if row.finding == finding and text in row.claim]


def chronos(zero_shot=1.0, full=0.9, lora=0.9, spread=0.0, model="chronos-t5-tiny"):
    """The arms of one Chronos; the spread is that of LoRA alone, so of every difference from it."""
    return {
        (model, "zero-shot"): (zero_shot, 0.0),
        (model, "full"): (full, 0.0),
        (model, "lora-r1"): (zero_shot, 0.0),
        (model, "lora-r4"): (lora, spread),
    }


@pytest.mark.parametrize(
    ("lora", "spread", "verdict"),
    [
        (0.9, 0.05, "agrees"),
        (0.9, 0.11, "undecided"),  # 95 % of 0.11 reach across 1
        (1.1, 0.05, "disagrees"),
        (0.999, 0.0, "agrees"),
        (1.0, 0.0, "undecided"),
    ],
)
def test_lora_improves_only_where_the_whole_interval_is_below_zero_shot(task, lora, spread, verdict):
    (row,) = rows_of(task(chronos(lora=lora, spread=spread)), 2, "Chronos")
    assert (row.verdict, row.value) == (verdict, pytest.approx(lora - 1))
    assert row.low == pytest.approx(lora - 1 - 0.95 * spread, abs=0.01 * spread)
    assert row.high == pytest.approx(lora - 1 + 0.95 * spread, abs=0.01 * spread)
    assert (row.patients, row.seeds) == (40, 5)
    assert bool(row.reason) == (verdict == "undecided")


def test_the_lora_arm_is_that_of_the_smallest_validation_loss_whatever_its_test_error(task):
    (row,) = rows_of(task(chronos(lora=1.2)), 2, "Chronos")
    assert (row.arms, row.against) == ("chronos-t5-tiny lora-r4", "chronos-t5-tiny zero-shot")
    assert row.verdict == "disagrees", "lora-r1 has the smaller test error and is not looked at"


def test_a_family_is_the_mean_over_its_models(task):
    arms = chronos(1.0, lora=0.8) | chronos(3.0, lora=3.1, model="chronos-t5-small")
    (row,) = rows_of(task(arms), 2, "Chronos")
    assert row.value == pytest.approx((0.8 + 3.1) / (1.0 + 3.0) - 1)
    assert row.found == "Chronos LoRA 2.50 % below Chronos zero-shot"


def test_zero_shot_is_compared_between_families(task):
    arms = chronos(1.0) | {
        ("lag-llama-nano", "zero-shot"): (1.5, 0.1),
        ("moirai-nano", "zero-shot"): (0.9, 0.01),
    }
    ahead, behind = rows_of(task(arms), 1)
    assert (ahead.verdict, behind.verdict) == ("agrees", "disagrees")
    assert ahead.value == pytest.approx(1 / 1.5 - 1)


def test_with_too_few_seeds_only_what_was_not_trained_is_tested(task):
    arms = chronos() | {("moirai-nano", "zero-shot"): (1.2, 0.01), ("moirai-nano", "lora-r1"): (1.0, 0.01)}
    found = task(arms, seeds=1)
    assert rows_of(found, 1, "MOIRAI")[0].verdict == "agrees"
    (row,) = rows_of(found, 2, "Chronos")
    assert (row.verdict, row.value) == ("not tested", pytest.approx(-0.1))
    assert row.reason == "1 seed: fewer than 3, so training's chance is not covered"


def lag_llama(lora, full):
    return {("lag-llama-nano", "full"): (full, 0.0), ("lag-llama-nano", "lora-r1"): (lora, 0.01)}


@pytest.mark.parametrize(
    ("vital", "lora", "verdict"),
    [
        ("mean_blood_pressure", 1.1, "agrees"),
        ("mean_blood_pressure", 0.9, "disagrees"),
        ("mean_blood_pressure_derived", 1.1, "agrees"),
        ("heart_rate", 0.9, "agrees"),
        ("heart_rate", 1.1, "disagrees"),
        ("respiratory_rate", 0.9, "not tested"),
    ],
)
def test_lag_llama_is_judged_by_what_the_paper_says_of_that_vital_sign(task, vital, lora, verdict):
    (row,) = rows_of(task(lag_llama(lora, 1.0), vital=vital), 3)
    assert row.verdict == verdict
    assert ("not of respiratory rate" in row.reason) == (verdict == "not tested")


def moirai(lora, full, zero_shot=1.0, spread=0.0, model="moirai-1.0-R-small"):
    return {
        (model, "zero-shot"): (zero_shot, 0.0),
        (model, "full"): (full, 0.0),
        (model, "lora-r1"): (lora, spread),
    }


@pytest.mark.parametrize(
    ("lora", "spread", "best", "close"),
    [
        (0.92, 0.01, "agrees", "agrees"),
        (0.99, 0.01, "agrees", "disagrees"),  # 10 % above full
        (0.88, 0.01, "disagrees", "agrees"),
        (0.80, 0.01, "disagrees", "disagrees"),
        (0.94, 0.05, "undecided", "undecided"),
    ],
)
def test_moirai_is_best_when_full_beats_both_and_close_within_the_margin(task, lora, spread, best, close):
    rows = rows_of(task(moirai(lora, 0.9, spread=spread)), 4)
    assert [row.verdict for row in rows[:2]] == [best, close]
    assert rows[0].value == pytest.approx(0.9 / min(lora, 1.0) - 1)
    assert rows[1].value == pytest.approx(lora / 0.9 - 1)
    assert [(row.verdict, row.reason) for row in rows[2:]] == [
        ("not tested", "no such model of MOIRAI in the study")
    ] * 2


def test_full_degrades_only_the_larger_moirai_and_is_not_asked_to_be_best_there(task):
    arms = moirai(0.92, 0.9) | moirai(0.9, 1.1, model="moirai-1.0-R-base")
    rows = rows_of(task(arms), 4)
    assert [row.verdict for row in rows] == ["agrees", "agrees", "agrees", "not tested"]
    assert "base" not in rows[0].arms + rows[0].against
    assert rows[2].value == pytest.approx(0.1)


@pytest.mark.parametrize(("lora", "verdict"), [(0.8, "agrees"), (0.904, "agrees"), (0.92, "disagrees")])
def test_chronos_equals_full_within_the_rank_margin(task, lora, verdict):
    assert rows_of(task(chronos(lora=lora, full=0.9)), 5)[0].verdict == verdict


SCRATCH = {("n-hits-hr", "trained"): (1.0, 0.0), ("n-hits-hr", "trained-dilate"): (0.85, 0.0)}


def test_the_best_from_scratch_is_the_best_on_the_test_patients_against_the_claim(task):
    arms = chronos(lora=0.9, model="chronos-t5-small") | SCRATCH
    (row,) = rows_of(task(arms), 6)
    assert row.verdict == "disagrees"
    assert row.value == pytest.approx(0.9 / 0.85 - 1)
    assert (row.arms, row.against) == (
        "chronos-t5-small lora-r4",
        "n-hits-hr trained; n-hits-hr trained-dilate",
    )


def test_near_on_blood_pressure_is_within_the_margin(task):
    arms = chronos(lora=0.88) | SCRATCH
    (row,) = rows_of(task(arms, vital="mean_blood_pressure"), 6)
    assert (row.verdict, row.value) == ("agrees", pytest.approx(0.88 / 0.85 - 1))


def test_a_model_that_stands_in_for_the_papers_is_named_as_such(task):
    arms = chronos(lora=0.8, model="chronos-t5-nano") | SCRATCH
    (row,) = rows_of(task(arms), 6)
    assert row.arms == "chronos-t5-nano lora-r4"
    assert "Chronos-T5 nano (in place of Chronos-T5 small, which is not in the study)" in row.claim


def test_persistence_is_no_model_from_scratch(task):
    (row,) = rows_of(task(chronos() | {("persistence", "baseline"): (2.0, 0.0)}), 6)
    assert (row.verdict, row.reason) == ("not tested", "no model from scratch in the study")


def sweep(errors, spread=0.0, model="chronos-t5-tiny", zero_shot=2.0):
    ranks = {(model, f"lora-r{2**place}"): (error, spread) for place, error in enumerate(errors)}
    return {(model, "zero-shot"): (zero_shot, 0.0)} | ranks


@pytest.mark.parametrize(
    ("errors", "zero_shot", "rank", "verdict"),
    [
        ((1.5, 1.005, 1.0, 1.0), 2.0, 2, "agrees"),
        ((1.5, 1.3, 1.1, 1.0), 2.0, 8, "disagrees"),
    ],
)
def test_a_gain_levels_off_where_a_lower_rank_is_good_enough(task, errors, zero_shot, rank, verdict):
    row = rows_of(task(sweep(errors, zero_shot=zero_shot)), 7, "levels off")[0]
    assert (row.verdict, row.value, row.low, row.high) == (verdict, rank, rank, rank)


@pytest.mark.parametrize("errors", [(1.0, 1.0, 1.0, 1.0), (0.9, 0.9, 0.9, 0.9), (1.4, 1.2, 1.1, 1.0)])
def test_a_gain_that_is_not_there_cannot_level_off_and_is_no_verdict(task, errors):
    row = rows_of(task(sweep(errors, zero_shot=0.9)), 7, "levels off")[0]
    assert (row.verdict, row.value) == ("not tested", None)
    assert row.reason == "no rank is better than zero-shot on these patients"


def test_where_validation_kept_every_adapted_arm_at_its_start_nothing_is_tested(task):
    """All arms are the base model then: within any margin of each other, whatever the paper's methods do."""
    arms = moirai(1.0, 1.0) | chronos(full=1.0, lora=1.0) | SCRATCH
    trained = [name for name in arms if name[1] not in ("zero-shot", "baseline")]
    rows = findings(task(arms, idle=trained))
    assert not [row for row in rows if row.verdict in ("agrees", "disagrees")]
    idle = [row for row in rows if row.reason.startswith("nothing was learned")]
    assert {row.finding for row in idle} == {2, 4, 5, 6, 7}
    assert all(row.verdict == "not tested" and row.value is None for row in idle)


def test_one_arm_that_learned_is_enough_to_compare(task):
    found = task(moirai(1.0, 0.9, spread=0.01), idle=[("moirai-1.0-R-small", "lora-r1")])
    assert rows_of(found, 4)[0].verdict == "agrees"


def test_few_resamples_on_the_other_side_are_a_verdict_for_one_claim_and_not_among_several(task):
    """3 of 400 resamples lie above zero-shot: p is 2 x (1 + 3) / 401; four further claims are quite open."""
    one = {name: value for name, value in chronos().items() if name[1] in ("zero-shot", "lora-r4")}
    one[CHRONOS_LORA] = (0.9, 0.1 / 0.985)
    several = one | moirai(0.95, 0.95, zero_shot=0.95, spread=0.2)
    (row,) = rows_of(task(one), 2, "Chronos")
    assert (row.verdict, row.claims, row.p_value) == ("agrees", 1, row.p_holm)
    (row,) = rows_of(task(several), 2, "Chronos")
    assert row.verdict == "undecided"
    assert row.p_value == pytest.approx(8 / 401)
    assert row.p_holm > 0.05
    assert row.reason == f"shown alone, but not after correction for {row.claims} claims (Holm)"


def test_the_family_is_every_claim_whose_arms_are_in_the_study(task):
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    rows = findings(task(chronos(lora=0.95, spread=0.05) | moirai(0.94, 0.9, spread=0.02) | SCRATCH))
    known = [row for row in rows if row.p_value is not None]
    assert {row.claims for row in rows} == {len(known)}
    expected = multitest.multipletests([row.p_value for row in known], method="holm")[1]
    assert [row.p_holm for row in known] == pytest.approx(expected.tolist())


@pytest.mark.parametrize(
    ("seeds", "patients", "caution"),
    [
        (5, 40, ""),
        (3, 40, "with caution: 3 seeds of 5 that an honest interval needs"),
        (5, 31, "with caution: 31 test patients of 40 that an honest interval needs"),
        (3, 10, "with caution: 3 seeds of 5 and 10 test patients of 40 that an honest interval needs"),
    ],
)
def test_a_verdict_from_few_seeds_or_patients_says_so(task, seeds, patients, caution):
    """docs/statistics.md measures the coverage that these limits rest on."""
    (row,) = rows_of(task(chronos(), seeds=seeds, patients=patients), 2, "Chronos")
    assert (row.verdict, row.reason) == ("agrees", caution)


def test_errors_that_are_the_same_are_called_so(task):
    """Equal errors were once \"0.00 % above\"."""
    (row,) = rows_of(task(chronos(lora=0.9, full=0.9)), 5)
    assert row.found == "Chronos LoRA the same as Chronos full fine-tuning"
    (row,) = rows_of(task(chronos(lora=0.9 * (1 + 1e-6), full=0.9)), 5)
    assert row.found == "Chronos LoRA less than 0.01 % above Chronos full fine-tuning"


def test_the_vital_signs_of_the_papers_settings_are_those_that_the_paper_speaks_of(task):
    settings = yaml.safe_load((PAGE.parents[1] / "params" / "paper.yaml").read_text(encoding="utf-8"))
    for vital in settings["vitals"]:
        arms = lag_llama(0.9, 1.0) | chronos(lora=0.88) | SCRATCH
        rows = findings(task(arms, vital=vital))
        assert {row.verdict for row in rows if row.finding in (3, 6)} <= {"agrees", "disagrees"}


def test_levelling_off_is_undecided_where_resamples_choose_several_ranks(task):
    arms = sweep((1.5, 1.2, 1.0)) | {("chronos-t5-tiny", "lora-r4"): (1.2, 0.1)}
    row = rows_of(task(arms), 7, "levels off")[0]
    assert (row.verdict, row.low, row.high) == ("undecided", 2, 4)


def test_the_smaller_model_gains_more_where_its_error_falls_faster_per_doubling(task):
    arms = sweep((4.0, 2.0, 1.0)) | sweep((4.0, 3.0, 2.25), model="chronos-t5-small")
    (row,) = rows_of(task(arms), 7, "Chronos: the smallest model")
    assert row.value == pytest.approx(np.log(0.5) - np.log(0.75))
    assert (row.verdict, row.arms.split("; ")[0], row.against.split("; ")[0]) == (
        "agrees",
        "chronos-t5-tiny lora-r1",
        "chronos-t5-small lora-r1",
    )
    assert rows_of(task(sweep((4.0, 2.0)), vital="mean_blood_pressure"), 7, "Chronos: the")[0].reason == (
        "fewer than two sizes of Chronos in the study"
    )


def test_a_failed_arm_leaves_its_findings_untested_and_the_others_alone(task):
    arms = chronos() | moirai(0.92, 0.9)
    found = task(arms, failed=[("moirai-1.0-R-small", "lora-r1")])
    (row,) = rows_of(found, 2, "MOIRAI")
    assert (row.verdict, row.value) == ("not tested", None)
    assert "forecast not finite in 2 of 120 test windows" in row.reason
    assert rows_of(found, 2, "Chronos")[0].verdict == "agrees"


def test_too_few_patients_leave_the_value_and_no_verdict(task):
    (row,) = rows_of(task(chronos(), patients=9), 2, "Chronos")
    assert (row.value, row.low, row.verdict) == (pytest.approx(-0.1), None, "not tested")
    assert row.reason == "9 test patients: fewer than 10"


def test_multivariate_variants_are_no_part_of_the_papers_families(task):
    arms = moirai(0.92, 0.9, model="moirai-nano")
    other = {("moirai-nano-multivariate", arm): (9.0, 0.0) for _, arm in arms}
    found = task(arms | other)
    assert rows_of(found, 2, "MOIRAI")[0].value == pytest.approx(-0.08)


def test_every_finding_has_a_row_even_where_nothing_can_be_tested(task):
    found = findings(task({("persistence", "baseline"): (1.0, 0.0)}))
    assert {row.finding for row in found} == set(range(1, 8))
    assert {row.verdict for row in found} == {"not tested"}
    assert all(row.reason for row in found)


def test_the_page_numbers_all_seven_and_defines_every_word_of_a_verdict():
    text = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^## (\d)\. ", text, re.MULTILINE) == list("1234567")
    for word in (
        "agrees",
        "disagrees",
        "undecided",
        "not tested",
        "close_margin",
        "rank_margin",
        "minimum_seeds",
    ):
        assert word in text


def test_the_table_reads_back_as_it_was_written(task, tmp_path):
    rows = findings(task(chronos() | SCRATCH))
    path = tmp_path / "findings.csv"
    path.write_text(rows_text(FindingRow, rows))
    assert rows_text(FindingRow, read_rows(path, FindingRow)) == path.read_text()
    assert [field.name for field in fields(FindingRow)] == path.read_text().splitlines()[0].split(",")


def test_what_cannot_be_tested_names_the_claim_and_what_is_missing(task):
    """The claims of docs/findings.md for heart rate, in a study that has no model of the paper's families."""
    chronos, lag_llama, moirai = (
        f"no such model of {name} in the study" for name in ("Chronos", "Lag-Llama", "MOIRAI")
    )
    rows = findings(task({("persistence", "baseline"): (1.0, 0.0)}))
    assert [(row.finding, row.claim, row.reason) for row in rows] == [
        (1, "zero-shot: Chronos ahead of Lag-Llama", chronos),
        (1, "zero-shot: Chronos ahead of MOIRAI", chronos),
        (2, "Chronos: LoRA improves on zero-shot", chronos),
        (2, "Lag-Llama: LoRA improves on zero-shot", lag_llama),
        (2, "MOIRAI: LoRA improves on zero-shot", moirai),
        (3, "Lag-Llama: LoRA better than full fine-tuning", lag_llama),
        (4, "MOIRAI: full fine-tuning better than both LoRA and zero-shot", moirai),
        (4, "MOIRAI: LoRA within 5% of full fine-tuning", moirai),
        (4, "MOIRAI base: full fine-tuning worse than zero-shot", moirai),
        (4, "MOIRAI large: full fine-tuning worse than zero-shot", moirai),
        (5, "Chronos: LoRA better than full fine-tuning, or equal within 1%", chronos),
        (6, "LoRA on Chronos-T5 small beats the best from scratch", chronos),
        (
            7,
            "the gain of LoRA levels off with rank",
            "no such model of the paper's families in the study",
        ),
        (
            7,
            "Chronos: the smallest model gains more from rank than the largest",
            "fewer than two sizes of Chronos in the study",
        ),
        (
            7,
            "Lag-Llama: the smallest model gains more from rank than the largest",
            "fewer than two sizes of Lag-Llama in the study",
        ),
        (
            7,
            "MOIRAI: the smallest model gains more from rank than the largest",
            "fewer than two sizes of MOIRAI in the study",
        ),
    ]
    assert {(row.claims, row.seeds, row.value, row.p_holm) for row in rows} == {(0, 0, None, None)}


def test_arms_that_a_family_lacks_are_named(task):
    alone = {("chronos-t5-tiny", "zero-shot"): (1.0, 0.0)}
    (row,) = rows_of(task(alone), 2, "Chronos")
    assert row.reason == "no arm of LoRA in the study"
    best, *_ = rows_of(task({("moirai-nano", "zero-shot"): (1.0, 0.0)}), 4)
    assert best.reason == "no arm of full fine-tuning and LoRA in the study"
    some = chronos() | {("chronos-t5-small", "zero-shot"): (1.0, 0.0)}
    (row,) = rows_of(task(some), 2, "Chronos")
    assert row.reason == "no arm of LoRA in the study", "the larger model has none"


def test_levelling_off_asks_for_two_ranks_and_a_zero_shot_arm(task):
    reason = "fewer than two ranks of LoRA, or no zero-shot arm"
    for errors, zero_shot in (((1.0,), True), ((1.5, 1.0), False)):
        arms = sweep(errors)
        if not zero_shot:
            del arms["chronos-t5-tiny", "zero-shot"]
        row = rows_of(task(arms), 7, "levels off")[0]
        assert (row.verdict, row.reason) == ("not tested", reason)
    row = rows_of(task(sweep((1.5, 1.0))), 7, "levels off below the highest rank (2)")[0]
    assert row.found == "rank 2: the smallest within 1% of the best"
    assert row.verdict == "disagrees"


def test_gains_from_rank_are_compared_where_both_sizes_have_two_ranks(task):
    small, one = sweep((4.0, 2.0)), sweep((4.0,), model="chronos-t5-small")
    (row,) = rows_of(task(small | one), 7, "Chronos: the smallest model")
    assert row.reason == "fewer than two ranks of LoRA"
    small = sweep((4.0, 2.0), zero_shot=5.0)
    (row,) = rows_of(task(small | sweep((4.0, 3.0), model="chronos-t5-small")), 7, "Chronos: the smallest")
    assert row.measure == "change per doubling of the rank"
    assert row.found == (
        "a doubling of the rank changes the error of Chronos-T5 tiny by -40.55 percentage points against that of "
        "Chronos-T5 small"
    )


def test_a_claim_on_rank_is_vacuous_only_where_no_rank_of_any_size_gains(task):
    small = sweep((2.0, 2.0), zero_shot=2.0)
    none = small | sweep((3.0, 3.0), model="chronos-t5-small", zero_shot=2.0)
    (row,) = rows_of(task(none), 7, "Chronos: the smallest")
    assert row.reason == "no rank is better than zero-shot on these patients"
    one = small | sweep((3.0, 1.9), model="chronos-t5-small", zero_shot=2.0)
    (row,) = rows_of(task(one), 7, "Chronos: the smallest")
    assert row.verdict in ("agrees", "disagrees")


def test_the_largest_of_three_sizes_is_the_one_with_most_parameters(task):
    sizes = sweep((4.0, 3.0), model="moirai-1.0-R-base") | sweep((4.0, 2.0), model="moirai-1.0-R-small")
    (row,) = rows_of(task(sizes), 7, "MOIRAI: the smallest model")
    assert row.arms.startswith("moirai-1.0-R-small")
    assert row.against.startswith("moirai-1.0-R-base")


@pytest.mark.parametrize(("vital", "wanted"), [("heart_rate", "small"), ("mean_blood_pressure", "tiny")])
def test_models_from_scratch_are_held_against_the_chronos_that_the_paper_names(task, vital, wanted):
    arms = chronos(lora=0.5) | chronos(lora=0.6, model="chronos-t5-small") | SCRATCH
    (row,) = rows_of(task(arms, vital=vital), 6)
    assert row.arms == f"chronos-t5-{wanted} lora-r4"
    assert "in place of" not in row.claim
    lora = 0.6 if wanted == "small" else 0.5
    assert (
        row.found == f"the error of LoRA {100 * (1 - lora / 0.85):.2f} % below that of the best from scratch"
    )


def test_other_vital_signs_have_no_claim_about_models_from_scratch(task):
    (row,) = rows_of(task(chronos() | SCRATCH, vital="temperature"), 6)
    assert (row.claim, row.verdict) == ("LoRA Chronos against models from scratch", "not tested")
    assert row.reason == "the paper says it of mean blood pressure and heart rate, not of temperature"


def test_a_failed_arm_of_the_other_side_is_named_in_the_reason(task):
    found = task(chronos(), failed=[("chronos-t5-tiny", "zero-shot")])
    (row,) = rows_of(found, 2, "Chronos")
    assert row.reason == (
        "Chronos-T5 tiny, zero-shot: each of 5 seeds: forecast not finite in 2 of 120 test windows"
    )
