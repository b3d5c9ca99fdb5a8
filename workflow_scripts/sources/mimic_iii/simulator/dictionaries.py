"""Dictionary entries that a simulated folder uses, from dictionaries.yaml."""

from functools import cache
from pathlib import Path

import numpy as np
import yaml

from workflow_scripts.sources.mimic_iii.simulator.write import TableWriter, choose


@cache
def load_dictionaries() -> dict[str, dict]:
    """Return the sections items, lab_items, diagnoses and procedures."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"), Loader=loader)


_SECTIONS = {
    "d_items": (
        "items",
        ["itemid", "label", "abbreviation", "dbsource", "linksto", "category", "unitname", "param_type"],
    ),
    "d_labitems": ("lab_items", ["itemid", "label", "fluid", "category", "loinc_code"]),
    "d_icd_diagnoses": ("diagnoses", ["icd9_code", "short_title", "long_title"]),
    "d_icd_procedures": ("procedures", ["icd9_code", "short_title", "long_title"]),
}


def write_dictionaries(writers: dict[str, TableWriter]) -> None:
    """Write D_ITEMS, D_LABITEMS, D_ICD_DIAGNOSES and D_ICD_PROCEDURES."""

    for table, (section, columns) in _SECTIONS.items():
        rows = [[key, *values] for key, values in load_dictionaries()[section].items()]
        by_column: dict = {}
        for name, values in zip(columns, zip(*rows, strict=True), strict=True):
            if name == "itemid":
                by_column[name] = np.array(values)
            else:
                by_column[name] = choose([value or None for value in values], np.arange(len(values)))
        writers[table].write(by_column)
