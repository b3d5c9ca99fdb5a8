"""The mapping file of a MEDS data set: its vital signs, stays, deaths and diagnoses. Imports nothing heavy."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.mimic_iii.items import CONVERSIONS, load_vital_signs, vital_names

MAPPINGS = Path(__file__).parent / "mappings"
UNKNOWN_UNITS = ("", "UNK")
"""What a code says where its unit is not known."""


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None


Pattern = Annotated[str, AfterValidator(lambda text: _compiled(text).pattern)]
"""A regular expression that matches a code from its first to its last character."""


class Entry(BaseModel):
    """Codes with one unit that are one vital sign.

    `code` may have a group `unit`: where the code names a unit, it must be this one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: Pattern
    unit: str = ""
    conversion: str | tuple[float, float] = "none"
    plausible: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _possible(self) -> "Entry":
        if isinstance(self.conversion, str) and self.conversion not in CONVERSIONS:
            raise ValueError(
                f"conversion {self.conversion!r}; allowed: {', '.join(CONVERSIONS)}, or [factor, offset]"
            )
        if self.factor == 0:
            raise ValueError("a conversion with the factor 0")
        if self.plausible and self.plausible[0] >= self.plausible[1]:
            raise ValueError("a plausible range that holds nothing")
        if "unit" in _compiled(self.code).groupindex and not self.unit:
            raise ValueError("a group `unit` in the code, and no unit to compare it with")
        return self

    @property
    def factor(self) -> float:
        """Value in the sign's unit = charted value * factor + offset."""
        return (CONVERSIONS[self.conversion] if isinstance(self.conversion, str) else self.conversion)[0]

    @property
    def offset(self) -> float:
        """See `factor`."""
        return (CONVERSIONS[self.conversion] if isinstance(self.conversion, str) else self.conversion)[1]


class Span(BaseModel):
    """Codes that begin and end something: an ICU stay, or a hospital admission.

    `begin` may have a group `icu_type`. `died`: the codes of an end by death.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    begin: Pattern
    end: Pattern
    died: Pattern | None = None


class Mapping(BaseModel):
    """A mapping file. `vital_signs`: vital sign of items.yaml -> its codes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: Literal["patient", "admission"]
    vital_signs: dict[str, list[Entry]] = Field(min_length=1)
    stays: Span
    admissions: Span | None = None
    birth: Pattern = "MEDS_BIRTH"
    female: Pattern = "GENDER//(F|Female)"
    male: Pattern = "GENDER//(M|Male)"
    diagnoses: Pattern | None = None
    diagnosis_parents: Pattern | None = None
    procedures: Pattern | None = None
    limits: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> "Mapping":
        unknown = sorted(set(self.vital_signs) - set(vital_names()))
        if unknown:
            raise ValueError(
                f"vital signs that nobody knows: {', '.join(unknown)}; allowed: {', '.join(vital_names())}"
            )
        for name in ("diagnoses", "diagnosis_parents", "procedures"):
            pattern = getattr(self, name)
            if pattern and not {"version", "codes"} <= set(_compiled(pattern).groupindex):
                raise ValueError(f"{name} without the groups `version` (9 or 10) and `codes`")
        return self


def mapping_names() -> list[str]:
    """Return the names of the mappings that come along."""
    return sorted(path.stem for path in MAPPINGS.glob("*.yaml"))


def mapping_file(name: str) -> Path:
    """Return the file of a mapping: one that comes along, by its name, or a user's own, by its path."""
    return MAPPINGS / f"{name}.yaml" if name in mapping_names() else Path(name)


def read_mapping(name: str) -> Mapping:
    """Read a mapping by name or path. Raises UserError where there is none or it is not as `Mapping` says."""
    path = mapping_file(name)
    remedy = (
        "correct the mapping (docs/exchange-formats.md shows one), or name one that comes along in `sources:`"
    )
    expected = f"a mapping of MEDS codes (YAML), or one of {', '.join(mapping_names())}"
    try:
        return Mapping.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError:
        raise UserError(str(path), "no such file", expected, remedy) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise UserError(str(path), "no YAML", expected, remedy) from None
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors()]
        raise UserError(str(path), "; ".join(problems), expected, remedy) from None


class MappedCode(BaseModel):
    """A code of the data that is a vital sign. low, high: the plausible range in the charted unit, both ends open."""

    model_config = ConfigDict(frozen=True)

    code: str
    vital: str
    unit: str
    conversion: str
    factor: float
    offset: float
    low: float
    high: float
    high_included: bool


def vital_codes(mapping: Mapping, codes: Iterable[str], where: str) -> list[MappedCode]:
    """Return the codes that are vital signs.

    where: the data set, for messages. Raises UserError for a code that several entries match, or whose own unit is
    another one than the entry's: one code has one vital sign and one unit.
    """
    entries = [
        (vital, entry, re.compile(entry.code))
        for vital, listed in mapping.vital_signs.items()
        for entry in listed
    ]
    found, problems = [], []
    for code in codes:
        matches = [(vital, entry, match) for vital, entry, rule in entries if (match := rule.fullmatch(code))]
        if len(matches) > 1:
            problems.append(f"{code} is matched by {len(matches)} entries")
        elif matches:
            vital, entry, match = matches[0]
            unit = match.groupdict().get("unit") or ""
            if unit not in UNKNOWN_UNITS and unit.lower() != entry.unit.lower():
                problems.append(f"{code} says {unit}, its entry {entry.unit}")
            found.append(_mapped(code, vital, entry))
    if problems:
        raise UserError(
            where,
            f"codes with two meanings or units: {'; '.join(problems[:10])}",
            "one entry of the mapping for each code, with the unit that the code names",
            "correct the mapping: an entry for each unit, with its conversion (docs/exchange-formats.md)",
        )
    return found


def _mapped(code: str, vital: str, entry: Entry) -> MappedCode:
    bounds = load_vital_signs()[vital].plausible
    if entry.plausible:
        low, high, included = *entry.plausible, False
    else:
        low, high = sorted((limit - entry.offset) / entry.factor for limit in (bounds.low, bounds.high))
        included = bounds.high_included
    conversion = entry.conversion if isinstance(entry.conversion, str) else "own"
    return MappedCode(
        code=code,
        vital=vital,
        unit=entry.unit,
        conversion=conversion,
        factor=entry.factor,
        offset=entry.offset,
        low=low,
        high=high,
        high_included=included,
    )
