"""Checks of the tables by step, by part and by quantile level, against group-bys in pandas and SciPy's bootstrap."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.helpers.identifiers import as_names
from tests.reporting.fabricated_study import LEVELS, VITALS, fabricate_study
from workflow_scripts.evaluation.aggregation import collect_rows
from workflow_scripts.evaluation.forecasts import read_forecasts
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.patient_groups import GIVES_AWAY, TOO_SMALL, divide, hide_small
from workflow_scripts.evaluation.study_statistics import study_statistics
from workflow_scripts.evaluation.summary import BreakdownRow, CalibrationRow, read_rows, rows_text
from workflow_scripts.windows.reading import read_windows

MODEL, VITAL = "moirai-nano", "heart_rate"
SUBJECT = {"cohort": "explicit", "vital": VITAL, "model": MODEL}


def add_patients(study):
    """Give every window hours from an onset, and every stay a sex, an age and an ICU: 40 test patients in all."""
    path = study.windows / "explicit" / f"{VITAL}.parquet"
    table = pq.read_table(path)
    hours = np.where(np.arange(len(table)) % 9 == 8, np.nan, np.linspace(-40, 60, len(table)))
    place = table.schema.get_field_index("hours_from_onset")
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array(hours, pa.float32())), path)
    stays = pd.unique(table["icustay_id"].to_pandas())
    number = np.arange(len(stays))
    cohort = pd.DataFrame(
        {
            "icustay_id": stays,
            "age_years": np.linspace(20, 91.4, len(stays)),
            "sex": np.where(number % 3 == 0, "female", "male"),
            # One stay in ten: fewer than eleven test patients.
            "icu_type": np.where(number % 10 == 0, "TSICU", np.where(number % 2, "MICU", "SICU")),
        }
    )
    (study.folder / "cohorts").mkdir(exist_ok=True)
    cohort.to_parquet(study.folder / "cohorts" / "explicit.parquet", index=False)


def statistics(study, cohorts=None, **parameters):
    """The statistics of a fabricated study, from few resamples."""
    rows = collect_rows(sorted(study.runs.rglob("run.json")))
    folders = {
        row: study.runs.joinpath(row.cohort, row.vital, row.model, row.arm, f"seed{row.seed}") for row in rows
    }
    chosen = EvaluationParameters(resamples=400).model_copy(update=parameters)
    return study_statistics(rows, folders, study.windows, chosen, cohorts)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = fabricate_study(
        tmp_path_factory.mktemp("study"),
        models=(MODEL,),
        arms=("zero-shot", "lora-r2"),
        vitals=(VITAL,),
        seeds=(0, 1),
        test_windows=120,
    )
    add_patients(study)
    return study


@pytest.fixture(scope="module")
def found(study):
    return statistics(study, study.folder / "cohorts")


def only(rows, **values):
    """The rows with these values."""
    return [row for row in rows if all(getattr(row, name) == value for name, value in values.items())]


@pytest.fixture(scope="module")
def points(study):
    """Every observed test point of lora-r2 with its errors, mean over seeds, and what is known of its patient."""
    test = read_windows(study.windows / "explicit" / f"{VITAL}.parquet", ("test",))
    errors = []
    for seed in (0, 1):
        folder = study.runs.joinpath("explicit", VITAL, MODEL, "lora-r2", f"seed{seed}")
        _, quantiles, _ = read_forecasts(folder / "forecasts.parquet")
        error = np.abs(test.target - quantiles[:, 4])
        inside = (test.target >= quantiles[:, 0]) & (test.target <= quantiles[:, 8])
        errors.append([(error / VITALS[VITAL][1]) ** 2, error, inside.astype(float)])
    mse, mae, covered = np.mean(errors, axis=0)
    rows, steps = np.nonzero(~np.isnan(test.target))
    frame = pd.DataFrame(
        {
            "window": test.window_id[rows],
            "subject_id": test.subject_id[rows],
            "icustay_id": test.icustay_id[rows],
            "hours": test.hours_from_onset[rows].astype(float),
            "step": steps + 1,
            "mse": mse[rows, steps],
            "mae": mae[rows, steps],
            "coverage_80": covered[rows, steps],
        }
    )
    return frame.merge(pd.read_parquet(study.folder / "cohorts" / "explicit.parquet"), on="icustay_id")


def test_the_error_at_a_step_is_the_mean_over_the_windows_observed_there(found, points):
    expected = points.groupby("step")[["mse", "mae", "coverage_80"]].mean()
    rows = only(found.breakdown, **SUBJECT, arm="lora-r2", dimension="horizon_step")
    assert [row.level for row in rows] == [str(step) for step in range(1, 13) for _ in range(3)]
    for row in rows:
        own = points[points["step"] == int(row.level)]
        # Forecasts are stored as float32.
        assert row.value == pytest.approx(expected.loc[int(row.level), row.metric], rel=1e-5)
        assert row.low < row.value < row.high
        assert (row.patients, row.windows) == (own["subject_id"].nunique(), len(own))
        assert (row.seeds, row.reason) == (2, "")


def levels_in_pandas(points):
    """Dimension -> the level of each point, cut by pandas."""
    hours = pd.cut(points["hours"], [-np.inf, -24, -12, 0, 12, 24, 48, np.inf], right=False)
    names = ["before -24", "-24 to -12", "-12 to 0", "0 to 12", "12 to 24", "24 to 48", "from 48"]
    ages = pd.cut(points["age_years"], [0, 18, 45, 65, 80, np.inf], right=False)
    bands = ["0-17", "18-44", "45-64", "65-79", "80+"]
    return {
        "hours_from_onset": hours.cat.rename_categories(names).astype(object).fillna("no onset"),
        "sex": points["sex"],
        "age_band": ages.cat.rename_categories(bands).astype(object),
        "icu_type": points["icu_type"],
    }


@pytest.mark.parametrize("dimension", ["hours_from_onset", "sex", "age_band", "icu_type"])
def test_the_error_of_a_part_is_that_of_its_windows_as_pandas_groups_them(found, points, dimension):
    labelled = points.assign(level=levels_in_pandas(points)[dimension])
    windows = labelled.groupby(["level", "window", "subject_id"])[["mse", "mae"]].mean().reset_index()
    rows = only(found.breakdown, **SUBJECT, arm="lora-r2", dimension=dimension)
    assert {row.level for row in rows} == set(windows["level"])
    shown = [row for row in rows if not row.reason]
    assert shown, "some part is large enough"
    for row in shown:
        own = windows[windows["level"] == row.level]
        assert (row.patients, row.windows) == (own["subject_id"].nunique(), len(own))
        assert row.patients >= 11
        value = own[row.metric].mean() if row.metric in own else None
        if value is None:  # Coverage is over points, not over windows.
            value = labelled.loc[labelled["level"] == row.level, "coverage_80"].mean()
        assert row.value == pytest.approx(value, rel=1e-5)
        assert row.low < row.value < row.high


def test_a_part_of_few_patients_has_no_number_at_all(found, points):
    few = points.groupby("icu_type")["subject_id"].nunique()
    assert few["TSICU"] < 11
    rows = only(found.breakdown, dimension="icu_type", level="TSICU")
    assert len(rows) == 3 * 4
    for row in rows:
        assert (row.patients, row.windows, row.value, row.low, row.high) == (None,) * 5
        assert row.reason == TOO_SMALL


def test_another_part_is_hidden_where_all_less_the_rest_would_be_the_small_one(found, points):
    patients = points.groupby("icu_type")["subject_id"].nunique().drop("TSICU")
    reasons = {row.level: row.reason for row in only(found.breakdown, dimension="icu_type")}
    assert reasons == {"TSICU": TOO_SMALL, patients.idxmin(): GIVES_AWAY, patients.idxmax(): ""}


@given(st.lists(st.sets(st.integers(0, 60), min_size=1), min_size=1, max_size=6))
def test_what_is_hidden_is_never_a_group_of_fewer_than_eleven_unless_nothing_is_shown(groups):
    hidden = hide_small([np.array(sorted(group)) for group in groups])
    unseen = set().union(*(group for group, reason in zip(groups, hidden, strict=True) if reason))
    assert all(reason or len(group) >= 11 for group, reason in zip(groups, hidden, strict=True))
    assert not unseen or len(unseen) >= 11 or all(hidden)


def test_with_one_window_a_patient_the_interval_of_a_part_is_that_of_scipy(tmp_path):
    study = fabricate_study(
        tmp_path, models=(MODEL,), arms=("full",), vitals=(VITAL,), naive=False, test_windows=80
    )
    path = study.windows / "explicit" / f"{VITAL}.parquet"
    table = pq.read_table(path)
    numbers = pa.array(as_names(range(len(table))))
    for name in ("subject_id", "icustay_id"):
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), numbers)
    pq.write_table(table, path)
    cohort = pd.DataFrame(
        {"icustay_id": np.arange(len(table)), "sex": ["female", "male"] * (len(table) // 2)}
    )
    (study.folder / "cohorts").mkdir(exist_ok=True)
    cohort.to_parquet(study.folder / "cohorts" / "explicit.parquet")
    (row,) = only(
        statistics(study, study.folder / "cohorts", resamples=20_000).breakdown, level="male", metric="mae"
    )
    test = read_windows(path, ("test",))
    _, quantiles, _ = read_forecasts(next(study.runs.rglob("forecasts.parquet")))
    errors = np.nanmean(np.abs(test.target - quantiles[:, 4]), axis=1)[test.icustay_id.astype(int) % 2 == 1]
    theirs = stats.bootstrap((errors,), np.mean, n_resamples=20_000, method="percentile", rng=3)
    # A 2.5 % quantile of 20,000 normal draws has a standard error of 0.019 of their deviation; here are two.
    ends = np.subtract([row.low, row.high], [*theirs.confidence_interval])
    assert np.abs(ends / theirs.standard_error).max() < 4 * 2**0.5 * 0.019


def test_bands_hold_their_lower_edge(study):
    test = read_windows(study.windows / "explicit" / f"{VITAL}.parquet", ("test",))
    edges = np.array([-24.0, -12.0, 0.0, 12.0, 24.0, 48.0, np.nan, -24.01] * 15, np.float32)
    (division, *_) = divide(replace(test, hours_from_onset=edges), None)
    assert [(group.level, len(group.rows)) for group in division.groups] == [
        (level, 15)
        for level in (
            "before -24", "-24 to -12", "-12 to 0", "0 to 12", "12 to 24", "24 to 48", "from 48", "no onset",
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("years", "band"),
    [
        *((17.99, "0-17"), (18, "18-44"), (44.99, "18-44"), (45, "45-64"), (64.99, "45-64")),
        *((65, "65-79"), (79.99, "65-79"), (80, "80+"), (91.4, "80+"), (np.nan, "unknown")),
    ],
)
def test_patients_older_than_89_fall_into_the_last_age_band(study, tmp_path, years, band):
    test = read_windows(study.windows / "explicit" / f"{VITAL}.parquet", ("test",))
    cohort = pd.DataFrame({"icustay_id": np.unique(test.icustay_id), "age_years": float(years)})
    cohort.to_parquet(tmp_path / "cohort.parquet")
    ages = next(each for each in divide(test, tmp_path / "cohort.parquet") if each.dimension == "age_band")
    assert [(group.level, group.patients) for group in ages.groups] == [(band, 40)]


def test_what_a_cohort_table_from_elsewhere_lacks_is_one_row_with_the_reason(study, tmp_path):
    cohort = pd.read_parquet(study.folder / "cohorts" / "explicit.parquet")
    cohort.drop(columns="sex").assign(icu_type=3).to_parquet(tmp_path / "explicit.parquet")
    rows = [row for row in statistics(study, cohorts=tmp_path).breakdown if not row.model]
    assert {row.dimension: row.reason for row in rows} == {
        "sex": "the cohort table has no column sex",
        "icu_type": "the cohort table cannot be read: columns of another type: icu_type (int64)",
    }
    assert all((row.arm, row.level, row.metric, row.value) == ("", "", "", None) for row in rows)
    without = {row.dimension: row.reason for row in statistics(study).breakdown if not row.model}
    assert without == dict.fromkeys(("sex", "age_band", "icu_type"), "there is no cohort table")


@pytest.mark.parametrize(
    ("hospitals", "groups"),
    [(["A", "B"], [("A", 20), ("B", 20)]), (["A", "A"], None), ([None, None], None)],
)
def test_windows_are_divided_by_hospital_where_there_are_several(study, tmp_path, hospitals, groups):
    test = read_windows(study.windows / "explicit" / f"{VITAL}.parquet", ("test",))
    stays = np.unique(test.icustay_id)
    hospital = pa.array(hospitals * 20, pa.string())
    pq.write_table(pa.table({"icustay_id": stays, "hospital": hospital}), tmp_path / "cohort.parquet")
    found = {division.dimension: division for division in divide(test, tmp_path / "cohort.parquet")}
    if groups is None:
        assert "hospital" not in found
    else:
        assert [(group.level, group.patients) for group in found["hospital"].groups] == groups


def test_a_stay_of_which_the_cohort_table_says_nothing_is_unknown(study, tmp_path):
    test = read_windows(study.windows / "explicit" / f"{VITAL}.parquet", ("test",))
    stays = np.unique(test.icustay_id)
    sexes = pa.array(["female"] * 15 + [None] * 12)
    pq.write_table(pa.table({"icustay_id": stays[:27], "sex": sexes}), tmp_path / "cohort.parquet")
    sex = next(each for each in divide(test, tmp_path / "cohort.parquet") if each.dimension == "sex")
    assert [(group.level, group.patients) for group in sex.groups] == [("female", 15), ("unknown", 25)]


def test_text_that_is_stored_as_a_dictionary_and_whole_years_are_read_too(study, tmp_path):
    test = read_windows(study.windows / "explicit" / f"{VITAL}.parquet", ("test",))
    stays = np.unique(test.icustay_id)
    sexes, years = pa.array(["female", "male"] * 20).dictionary_encode(), pa.array([50] * 40)
    table = pa.table({"icustay_id": stays, "sex": sexes, "age_years": years, "icu_type": [""] * 40})
    pq.write_table(table, tmp_path / "cohort.parquet")
    _, sex, age, icu = divide(test, tmp_path / "cohort.parquet")
    assert [(group.level, group.patients) for group in sex.groups] == [("female", 20), ("male", 20)]
    assert [(group.level, group.patients) for group in age.groups] == [("45-64", 40)]
    assert [(group.level, group.patients) for group in icu.groups] == [("unknown", 40)]


def test_an_age_that_is_text_is_refused_with_its_type(study, tmp_path):
    test = read_windows(study.windows / "explicit" / f"{VITAL}.parquet", ("test",))
    stays = np.unique(test.icustay_id)
    pq.write_table(pa.table({"icustay_id": stays, "age_years": ["50"] * 40}), tmp_path / "cohort.parquet")
    _, _, age, _ = divide(test, tmp_path / "cohort.parquet")
    assert age.missing == "the cohort table cannot be read: columns of another type: age_years (string)"


@pytest.mark.parametrize(
    ("sizes", "shown"),
    [
        ([10, 40], []),
        ([11, 40], [11, 40]),
        ([5, 5, 30, 20], [30]),
        ([5, 6, 30, 20], [30, 20]),
        ([10], []),
        ([11], [11]),
    ],
)
def test_groups_are_shown_from_eleven_patients_on(sizes, shown):
    """Groups of fewer are hidden; where they are fewer than 11 together, the smallest other one is hidden too."""
    ends = np.cumsum(sizes)
    groups = [np.arange(end - size, end) for size, end in zip(sizes, ends, strict=True)]
    reasons = hide_small(groups)
    assert [size for size, reason in zip(sizes, reasons, strict=True) if not reason] == shown
    assert [reason for size, reason in zip(sizes, reasons, strict=True) if size < 11] == [
        TOO_SMALL for size in sizes if size < 11
    ]


def test_windows_without_any_onset_are_not_divided_by_it(tmp_path):
    study = fabricate_study(tmp_path, models=(MODEL,), arms=("full",), vitals=(VITAL,), naive=False)
    rows = only(statistics(study).breakdown, dimension="hours_from_onset")
    assert [(row.model, row.reason) for row in rows] == [("", "no test window has an onset")]


def test_a_failed_arm_is_shown_with_its_reason_in_both_tables(tmp_path):
    study = fabricate_study(
        tmp_path, models=(MODEL,), arms=("full", "lora-r2"), vitals=(VITAL,), failed=[(MODEL, "lora-r2")]
    )
    found, reason = statistics(study), "forecast not finite in 3 of 120 test windows"
    parts = only(found.breakdown, arm="lora-r2")
    assert len(parts) == len(only(found.breakdown, arm="full")) == 12 * 3
    assert {(row.value, row.low, row.reason) for row in parts} == {(None, None, reason)}
    levels = only(found.calibration, arm="lora-r2")
    assert [(row.level, row.observed, row.reason) for row in levels] == [(q, None, reason) for q in LEVELS]


def test_too_few_patients_for_an_interval_leave_the_value(study):
    rows = only(statistics(study, minimum_patients=41).breakdown, arm="lora-r2", dimension="horizon_step")
    assert all(row.value is not None and row.low is None for row in rows)
    assert {row.reason for row in rows} == {f"{row.patients} test patients: fewer than 41" for row in rows}


def test_calibration_counts_the_truths_at_or_below_each_quantile(study, found):
    test = read_windows(study.windows / "explicit" / f"{VITAL}.parquet", ("test",))
    for row in only(found.calibration, arm="zero-shot"):
        shares = []
        for seed in (0, 1):
            path = study.runs.joinpath(
                "explicit", VITAL, MODEL, "zero-shot", f"seed{seed}", "forecasts.parquet"
            )
            table = pd.read_parquet(path).assign(truth=test.target.reshape(-1)).dropna(subset="truth")
            shares.append((table["truth"] <= table[f"q{row.level:g}"]).mean())
        assert row.observed == pytest.approx(np.mean(shares), rel=1e-12)
        assert (row.seeds, row.reason) == (2, "")
    assert [row.level for row in only(found.calibration, arm="zero-shot")] == LEVELS


def test_point_forecasts_have_no_calibration(found):
    assert {row.model for row in found.calibration} == {MODEL}
    assert "persistence" in {row.model for row in found.breakdown}


def test_both_tables_read_back_as_they_were_written(found, tmp_path):
    for kind, rows in ((BreakdownRow, found.breakdown), (CalibrationRow, found.calibration)):
        path = tmp_path / "table.csv"
        path.write_text(rows_text(kind, rows))
        assert rows_text(kind, read_rows(path, kind)) == path.read_text()
