"""Table 1: its numbers against numpy and pandas, and what it must never show."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.cohorts.definitions import CONCEPTS_FOLDER, read_definition
from workflow_scripts.cohorts.events import open_events
from workflow_scripts.cohorts.parameters import Sepsis3Parameters
from workflow_scripts.cohorts.queries import create_with_needs
from workflow_scripts.cohorts.table_one import make_table_one


def fabricated(included: int = 60, excluded: int = 80, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    number = included + excluded
    return pd.DataFrame(
        {
            "subject_id": np.arange(number),
            "group": ["included"] * included + ["excluded"] * excluded,
            "age_years": rng.normal(65, 15, number),
            "sofa": rng.integers(0, 15, number).astype(float),
            "stay_days": rng.exponential(3, number),
            "sex": rng.choice(["female", "male"], number),
            "icu_type": rng.choice(["CCU", "MICU", "SICU"], number),
            "died_in_hospital": rng.choice(["no", "yes"], number, p=[0.7, 0.3]),
        }
    )


def cell(table: pd.DataFrame, variable: str, group: str, level: str = "") -> str:
    chosen = table[table["variable"].str.startswith(variable) & (table["level"] == level)]
    return chosen[group].item()


def test_medians_and_quartiles_are_those_of_numpy() -> None:
    stays = fabricated()
    table = make_table_one(stays)
    for group in ("included", "excluded"):
        for column, variable in (("age_years", "Age"), ("sofa", "SOFA"), ("stay_days", "ICU stay")):
            low, middle, high = np.percentile(stays.loc[stays["group"] == group, column], [25, 50, 75])
            assert cell(table, variable, group) == f"{middle:.1f} [{low:.1f},{high:.1f}]"


def test_counts_and_percentages_are_those_of_pandas() -> None:
    stays = fabricated()
    table = make_table_one(stays)
    assert cell(table, "Stays", "included") == "60"
    for column, variable in (("sex", "Sex"), ("icu_type", "First ICU"), ("died_in_hospital", "Died")):
        for (group, level), count in stays.groupby(["group", column]).size().items():
            percent = 100 * count / (stays["group"] == group).sum()
            assert cell(table, variable, group, level) == f"{count} ({percent:.1f})"


def test_a_stay_of_a_patient_who_has_several_counts_each_time_but_not_as_another_patient() -> None:
    stays = fabricated()
    stays.loc[stays["group"] == "included", "subject_id"] %= 10  # sixty stays of ten patients
    assert set(make_table_one(stays)["included"]) == {"<11"}


def test_missing_values_are_counted_and_a_category_of_their_own() -> None:
    stays = fabricated()
    stays.loc[stays.index[:20], "sofa"] = np.nan
    stays.loc[stays.index[:3], "age_years"] = np.nan
    stays.loc[stays.index[:30], "sex"] = None
    table = make_table_one(stays)
    assert cell(table, "SOFA", "missing") == "20"
    assert cell(table, "Age", "missing") == "<11"
    assert cell(table, "Sex", "included", "unknown") == "30 (50.0)"


def test_a_variable_that_is_missing_throughout_a_group_shows_a_dash() -> None:
    stays = fabricated()
    stays.loc[stays["group"] == "included", "sofa"] = np.nan
    assert cell(make_table_one(stays), "SOFA", "included") == "-"


def test_a_small_level_is_hidden_with_the_next_smallest_so_that_it_is_not_the_rest() -> None:
    stays = fabricated()
    stays["icu_type"] = "MICU"
    stays.loc[stays.index[:5], "icu_type"] = "CCU"
    stays.loc[stays.index[5:25], "icu_type"] = "SICU"
    table = make_table_one(stays)
    shown = {level: cell(table, "First ICU", "included", level) for level in ("CCU", "SICU", "MICU")}
    assert shown == {"CCU": "<11", "SICU": "not shown", "MICU": "35 (58.3)"}


def test_where_one_group_is_small_neither_is_shown() -> None:
    table = make_table_one(fabricated(included=4))
    assert set(table["included"]) == {"<11"}
    assert set(table["excluded"]) == {"not shown"}


def test_a_cohort_that_excludes_nobody_has_an_empty_second_column() -> None:
    table = make_table_one(fabricated(included=30, excluded=0))
    assert cell(table, "Stays", "included") == "30"
    assert set(table["excluded"]) == {"0"}


@settings(max_examples=10)
@given(
    st.lists(st.integers(0, 40), min_size=6, max_size=6).filter(
        lambda sizes: sum(sizes[:3]) and sum(sizes[3:])
    )
)
def test_no_shown_count_and_no_rest_of_shown_counts_is_a_small_group(sizes: list[int]) -> None:
    cells = [(group, level) for group in ("included", "excluded") for level in ("CCU", "MICU", "SICU")]
    rows = [pair for pair, size in zip(cells, sizes, strict=True) for _ in range(size)]
    stays = pd.DataFrame(rows, columns=["group", "icu_type"])
    stays["subject_id"] = np.arange(len(stays))
    table = make_table_one(stays)
    for group in ("included", "excluded"):
        shown = [int(text.split()[0]) for text in table[group] if text[0].isdigit()]
        assert not [count for count in shown if 0 < count < 11]
        if shown:
            total, *levels = shown
            assert not 0 < total - sum(levels) < 11


@pytest.fixture(scope="module")
def described_demo(extracted_demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's cohort `all`, labelled and described by the steps themselves."""
    folder = tmp_path_factory.mktemp("described")
    parameters = {"cohort": {}, "sepsis3": {}, "vitals": ["heart_rate"]}
    (folder / "settings.json").write_text(json.dumps({"code": "0", "parameters": parameters}))
    common = ["--events", extracted_demo, "--settings", folder / "settings.json"]
    tables = {"cohort": folder / "all.parquet", "attrition": folder / "all.attrition.csv"}
    label = ["label_cohort", *common, "--cohort", "all", "--output", tables["cohort"]]
    describe = ["describe_cohort", *common, "--cohort", tables["cohort"]]
    outputs = ["--table", folder / "t.csv", "--page", folder / "t.html", "--figure", folder / "c.svg"]
    for step in (label, [*describe, *outputs]):
        name, *arguments = [str(part) for part in (*step, "--attrition", tables["attrition"])]
        command = [sys.executable, "-m", f"workflow_scripts.steps.{name}", *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")
    return folder


@pytest.mark.demo
def test_the_demo_s_table_is_that_of_a_reading_in_pandas(described_demo: Path, demo_folder: Path) -> None:
    table = pd.read_csv(described_demo / "t.csv", dtype=str, keep_default_na=False)
    stays = pd.read_csv(demo_folder / "ICUSTAYS.csv.gz")
    stays = stays.merge(pd.read_csv(demo_folder / "PATIENTS.csv.gz")[["subject_id", "gender"]])
    stays = stays.merge(pd.read_csv(demo_folder / "ADMISSIONS.csv.gz")[["hadm_id", "hospital_expire_flag"]])
    cohort = pq.read_table(described_demo / "all.parquet").to_pandas()
    group = stays["icustay_id"].map(cohort.set_index("icustay_id")["included"])
    included, excluded = stays[group], stays[~group]
    assert cell(table, "Stays", "included") == str(len(included))
    assert cell(table, "Stays", "excluded") == str(len(excluded))
    women = (included["gender"] == "F").sum()
    assert cell(table, "Sex", "included", "female") == f"{women} ({100 * women / len(included):.1f})"
    died = excluded["hospital_expire_flag"].sum()
    assert cell(table, "Died", "excluded", "yes") == f"{died} ({100 * died / len(excluded):.1f})"
    # LOS is the release's own column, in days, and is not read by the extraction.
    low, middle, high = np.percentile(included["los"], [25, 50, 75])
    assert cell(table, "ICU stay", "included") == f"{middle:.1f} [{low:.1f},{high:.1f}]"


@pytest.mark.demo
def test_the_demo_s_sofa_is_that_of_the_first_day(described_demo: Path, extracted_demo: Path) -> None:
    table = pd.read_csv(described_demo / "t.csv", dtype=str, keep_default_na=False)
    with open_events(extracted_demo, 1, clinical=True) as connection:
        query = read_definition("sofa_first_day", CONCEPTS_FOLDER / "sofa_first_day.sql")
        create_with_needs(connection, "sofa_first_day", query, Sepsis3Parameters().choices())
        first_day = connection.sql("FROM sofa_first_day").df().set_index("icustay_id")["sofa"]
    cohort = pq.read_table(described_demo / "all.parquet").to_pandas().set_index("icustay_id")
    assert len(first_day) > 100
    for group, chosen in (("included", cohort["included"]), ("excluded", ~cohort["included"])):
        values = first_day.reindex(cohort.index[chosen]).dropna()
        low, middle, high = np.percentile(values, [25, 50, 75])
        assert cell(table, "SOFA", group) == f"{middle:.1f} [{low:.1f},{high:.1f}]"


@pytest.mark.demo
def test_what_is_written_names_no_patient(described_demo: Path, demo_folder: Path) -> None:
    with gzip.open(demo_folder / "ICUSTAYS.csv.gz", "rt") as stream:
        ids = {field for row in list(stream)[1:] for field in row.split(",")[1:4]}
    for name in ("t.csv", "t.html", "c.svg"):
        text = (described_demo / name).read_text()
        assert not [identifier for identifier in ids if identifier in text]


@pytest.mark.demo
def test_the_page_shows_the_cells_of_the_table_with_header_cells(described_demo: Path) -> None:
    table = pd.read_csv(described_demo / "t.csv", dtype=str, keep_default_na=False)
    page = (described_demo / "t.html").read_text()
    for text in {*table["included"], *table["excluded"]}:
        assert f"<td>{text.replace('<', '&lt;')}</td>" in page
    assert page.count('<th scope="row">') == 2 * len(table)
    assert "prefers-color-scheme: dark" in page
