"""Sepsis by diagnosis codes, ICD-9-CM and ICD-10-CM: explicit codes, and the implementation of Angus."""

import re
from collections.abc import Iterable
from collections.abc import Mapping as Words
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from workflow_scripts.sources.meds.mapping import Mapping

CODE_LISTS = Path(__file__).with_name("sepsis_codes.yaml")
_ICD9 = re.compile(r"\d{3}(\.\d{1,2})?|\d{3,5}|E\d{3}(\.\d)?|E\d{3,4}|V\d{2}(\.\d{1,2})?|V\d{2,4}")
"""An ICD-9-CM diagnosis, with or without its dot. E83.2 is none: ICD-9-CM has three digits before the dot of E832."""


@dataclass(frozen=True)
class CodeLists:
    """Patterns of codes without the dot, by version of the ICD; each matches the beginning of a code."""

    explicit: dict[str, re.Pattern[str]]
    infection: dict[str, re.Pattern[str]]
    organ_dysfunction: dict[str, re.Pattern[str]]
    ventilation: dict[str, re.Pattern[str]]


@dataclass(frozen=True)
class SepsisCode:
    """What a code of the data says of its admission."""

    code: str
    explicit: bool = False
    infection: bool = False
    organ_dysfunction: bool = False
    is_procedure: bool = False


@cache
def code_lists() -> CodeLists:
    """Return the lists of sepsis_codes.yaml."""
    lists = yaml.safe_load(CODE_LISTS.read_text(encoding="utf-8"))
    return CodeLists(
        **{
            name: {version: re.compile("|".join(map(str, codes))) for version, codes in versions.items()}
            for name, versions in lists.items()
        }
    )


def sepsis_codes(
    mapping: Mapping, codes: Iterable[str], parents: Words[str, Iterable[str]]
) -> list[SepsisCode]:
    """Return the codes of the data that count for explicit or Angus sepsis.

    parents: code -> its parent codes, as metadata/codes.parquet has them.
    """
    found = []
    for code in codes:
        diagnoses = _icd(mapping.diagnoses, [code]) + _icd(mapping.diagnosis_parents, parents.get(code, ()))
        judged = SepsisCode(
            code,
            explicit=_counts(code_lists().explicit, diagnoses),
            infection=_counts(code_lists().infection, diagnoses),
            organ_dysfunction=_counts(code_lists().organ_dysfunction, diagnoses),
        )
        ventilated = _counts(code_lists().ventilation, _icd(mapping.procedures, [code], is_procedure=True))
        if ventilated:
            judged = SepsisCode(code, organ_dysfunction=True, is_procedure=True)
        if judged != SepsisCode(code):
            found.append(judged)
    return found


def _icd(pattern: str | None, codes: Iterable[str], *, is_procedure: bool = False) -> list[tuple[str, str]]:
    """Return the version and the code without dot of every ICD code that codes of the data name."""
    found = []
    for code in codes if pattern else ():
        match = re.fullmatch(pattern or "", code)
        if match is None:
            continue
        for part in re.split(r"[,\s]+", match["codes"]):
            # eICU puts ICD-10 codes beside ICD-9 codes into one column that it calls ICD-9.
            is_ninth = match["version"] == "9" and (is_procedure or _ICD9.fullmatch(part.upper()))
            found.append(("9" if is_ninth else "10", part.replace(".", "").upper()))
    return found


def _counts(lists: Words[str, re.Pattern[str]], codes: Iterable[tuple[str, str]]) -> bool:
    return any(lists[version].match(code) for version, code in codes)
