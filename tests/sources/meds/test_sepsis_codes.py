"""The lists of sepsis codes: the same as in the SQL definitions, and codes whose place others published."""

import re
from pathlib import Path

import pytest
import yaml

from workflow_scripts.cohorts.definitions import read_definition
from workflow_scripts.sources.meds.diagnoses import CODE_LISTS, code_lists

PARTS = ("infection", "organ_dysfunction")


def test_icd_9_lists_are_those_of_the_sql_definitions() -> None:
    lists = yaml.safe_load(Path(CODE_LISTS).read_text(encoding="utf-8"))
    angus = read_definition("angus").text
    for part in PARTS:
        (body,) = re.findall(rf"{part} AS \((.*?)\n\)", angus, re.DOTALL)
        assert lists[part]["9"] == re.findall(r"'(\w+)'", body)
    assert lists["explicit"]["9"] == re.findall(r"'(\w+)'", read_definition("explicit").text)
    (ventilation,) = re.findall(r"icd9_code IN \(('96.*?)\)", angus)
    assert [
        re.match(lists["ventilation"]["9"][0], code.strip(" '")) is not None
        for code in ventilation.split(",")
    ] == [
        True,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("part", "code", "counts"),
    [
        # Names after ICD-10-CM (CMS, 2024 release), ICD-9-CM codes after CMS's General Equivalence Mappings.
        ("infection", "A400", True),  # sepsis due to streptococcus, group A: 038.0
        ("infection", "A408", True),  # other streptococcal sepsis: 038.0
        ("infection", "A419", True),  # sepsis, unspecified: 038.9
        ("infection", "N390", True),  # urinary tract infection: 599.0
        ("infection", "J189", True),  # pneumonia: 486
        ("infection", "J440", False),  # obstructive disease with infection: 491.22, which Angus does not list
        ("infection", "J441", True),  # with exacerbation: 491.21
        ("infection", "T814XXA", True),  # infection after a procedure, first encounter: 998.59
        ("infection", "T814XXD", False),  # a later encounter: aftercare
        ("infection", "I10", False),  # hypertension
        ("organ_dysfunction", "N179", True),  # acute kidney failure: 584.9
        ("organ_dysfunction", "N189", False),  # chronic kidney disease
        ("organ_dysfunction", "R6521", True),  # septic shock: 785.52
        ("organ_dysfunction", "D696", True),  # thrombocytopenia: 287.5
        ("organ_dysfunction", "F530", False),  # postpartum depression, younger than the mappings
        ("ventilation", "5A1955Z", True),  # more than 96 hours
        ("ventilation", "5A09357", False),  # continuous positive airway pressure
    ],
)
def test_an_icd_10_code_counts_as_its_icd_9_code_does(part: str, code: str, counts: bool) -> None:
    assert bool(getattr(code_lists(), part)["10"].match(code)) == counts
