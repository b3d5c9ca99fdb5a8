"""The dictionary of items against D_ITEMS of the real demo, physics, and the paper's scales."""

import csv
import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_scripts.sources.mimic_iii.items import (
    CONVERSIONS,
    DERIVED_PRESSURE,
    clinical_itemids,
    load_clinical_measures,
    load_vital_signs,
    vital_names,
)

CLINICAL = load_clinical_measures().values()
ITEMS = [item for sign in load_vital_signs().values() for item in sign.items]


def dictionary_rows(demo_folder: Path, table: str) -> dict[int, dict[str, str]]:
    with gzip.open(demo_folder / f"{table}.csv.gz", "rt", encoding="utf-8", errors="replace") as stream:
        return {int(row["itemid"]): row for row in csv.DictReader(stream)}


@pytest.mark.demo
def test_labels_and_source_systems_are_those_of_the_real_d_items(demo_folder: Path) -> None:
    rows = dictionary_rows(demo_folder, "D_ITEMS")
    for item in ITEMS:
        row = rows[item.itemid]
        assert (item.label, item.system, "chartevents") == (row["label"], row["dbsource"], row["linksto"])


@pytest.mark.demo
def test_clinical_items_are_those_of_the_real_dictionaries(demo_folder: Path) -> None:
    charted = dictionary_rows(demo_folder, "D_ITEMS")
    measured = dictionary_rows(demo_folder, "D_LABITEMS")
    for measure in CLINICAL:
        for item in measure.items:
            if measure.table == "labevents":
                assert (item.label, item.system) == (measured[item.itemid]["label"], "laboratory")
            else:
                row = charted[item.itemid]
                found = (row["label"], row["dbsource"], row["linksto"])
                assert (item.label, item.system, measure.table) == found


def test_clinical_measures_name_tables_with_items_and_their_source() -> None:
    tables = {"chartevents", "labevents", "outputevents"}
    tables |= {"inputevents_cv", "inputevents_mv", "procedureevents_mv"}
    for measure in CLINICAL:
        assert measure.table in tables
        assert measure.items
        assert measure.citation


def test_the_items_of_a_table_are_those_of_all_its_measures_once() -> None:
    charted = [item.itemid for measure in CLINICAL if measure.table == "labevents" for item in measure.items]
    assert clinical_itemids("labevents") == sorted(set(charted))
    assert clinical_itemids("patients") == []


def test_no_item_belongs_to_two_vital_signs() -> None:
    assert len({item.itemid for item in ITEMS}) == len(ITEMS)


def test_every_charted_vital_has_items_of_both_systems() -> None:
    for sign in load_vital_signs().values():
        expected = set() if sign.name == DERIVED_PRESSURE else {"carevue", "metavision"}
        assert {item.system for item in sign.items} == expected


def test_each_device_and_system_charts_a_whole_pressure_triple() -> None:
    pressures = ["systolic_blood_pressure", "diastolic_blood_pressure", "mean_blood_pressure"]
    devices = [{(i.system, i.device) for i in load_vital_signs()[name].items} for name in pressures]
    assert devices[0] == devices[1] == devices[2]
    assert all(device is not None for _, device in devices[0])


@pytest.mark.parametrize(("fahrenheit", "celsius"), [(32, 0), (98.6, 37), (212, 100)])
def test_fahrenheit_converts_by_its_fixed_points(fahrenheit: float, celsius: float) -> None:
    factor, offset = CONVERSIONS["fahrenheit_to_celsius"]
    assert fahrenheit * factor + offset == pytest.approx(celsius)


def test_scales_of_the_paper_are_kept() -> None:
    # The ranges of the authors' public preprocessing: mean pressure 0-190, heart rate 0-300, rate 0-100.
    signs = load_vital_signs()
    for name, high in [("mean_blood_pressure", 190), ("heart_rate", 300), ("respiratory_rate", 100)]:
        assert (signs[name].scale_low, signs[name].scale_high) == (0, high)
    assert all(sign.scale_low == 0 for sign in signs.values())


def test_the_upper_end_of_a_range_belongs_to_it_only_where_said() -> None:
    signs = load_vital_signs()
    assert signs["spo2"].plausible.holds(100)
    assert not signs["heart_rate"].plausible.holds(300)
    assert not signs["heart_rate"].plausible.holds(0)


def test_loading_imports_nothing_heavy() -> None:
    code = (
        "import sys; from workflow_scripts.sources.mimic_iii.items import vital_names; vital_names();"
        "print([name for name in ('torch', 'pandas', 'numpy', 'pyarrow') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_names_are_those_of_the_vital_signs() -> None:
    assert vital_names() == list(load_vital_signs())
    assert DERIVED_PRESSURE in vital_names()
