"""Table 1: who is included and who is not, without anything that could point at a single patient."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from workflow_scripts.sources.counts import SMALLEST_GROUP

if TYPE_CHECKING:
    import pandas as pd

FEWER = f"<{SMALLEST_GROUP}"
HIDDEN = "not shown"
GROUPS = ("included", "excluded")

CONTINUOUS = {
    "age_years": "Age, years",
    "sofa": "SOFA, first day",
    "stay_days": "ICU stay, days",
}
CATEGORICAL = {
    "sex": "Sex",
    "icu_type": "First ICU",
    "hospital": "Hospital",
    "died_in_hospital": "Died in hospital",
    "died_in_icu": "Died in the ICU",
}
"""Column -> its name in the table."""


def make_table_one(stays: "pd.DataFrame") -> "pd.DataFrame":
    """Return Table 1 with the columns variable, level, included, excluded and missing; all of it is text.

    stays: one row per ICU stay with subject_id, group (included or excluded) and any of CONTINUOUS and
    CATEGORICAL. Continuous variables show their median and quartiles, categories their stays and percentages.
    Cells of fewer than 11 patients show "<11", and further cells of that variable and group "not shown" as far as
    they would give such a cell away. Where one whole group has fewer than 11 patients, nothing of either is shown.

    Source of the summary: tableone (Pollard TJ, Johnson AEW, Raffa JD, Mark RG. JAMIA Open 2018;1(1):26-31).
    """
    import pandas as pd
    from tableone import TableOne

    continuous = [name for name in CONTINUOUS if name in stays]
    categorical = [name for name in CATEGORICAL if name in stays]
    groups = [group for group in GROUPS if (stays["group"] == group).any()]
    frame = stays[["group", *continuous, *categorical]].copy()
    for name in categorical:
        frame[name] = frame[name].astype("object").where(frame[name].notna(), "unknown").astype(str)
    # tableone cannot summarise a variable that is missing throughout a group: the cell is made below.
    summed = [name for name in continuous if frame.groupby("group")[name].count().min() > 0]
    made = TableOne(
        frame,
        columns=[*summed, *categorical],
        categorical=categorical,
        nonnormal=summed,
        groupby="group",
        order={"group": groups},
        overall=False,
        rename=CONTINUOUS | CATEGORICAL,
    ).tableone.droplevel(0, axis=1)
    rows = [_row("Stays", "", {group: made.loc[("n", ""), group] for group in groups}, "")]
    for name in continuous:
        label = f"{CONTINUOUS[name]}, median [Q1,Q3]"
        cells = {group: made.loc[(label, ""), group] if name in summed else "-" for group in groups}
        known = stays[stays[name].notna()]
        _hide_small(cells, {group: _patients(known, group) for group in groups})
        rows.append(_row(label, "", cells, _missing(stays, name)))
    for name in categorical:
        label = f"{CATEGORICAL[name]}, n (%)"
        levels = [level for variable, level in made.index if variable == label]
        columns = {
            group: _hide_levels(
                {level: made.loc[(label, level), group] for level in levels},
                {level: _patients(stays[frame[name] == level], group) for level in levels},
            )
            for group in groups
        }
        for level in levels:
            rows.append(_row(label, level, {group: columns[group][level] for group in groups}, ""))
    _hide_groups(rows, {group: _patients(stays, group) for group in GROUPS})
    return pd.DataFrame(rows, columns=["variable", "level", *GROUPS, "missing"])


def _row(variable: str, level: str, cells: Mapping[str, object], missing: str) -> dict[str, str]:
    texts = {group: str(cells.get(group, "0")) for group in GROUPS}
    return {"variable": variable, "level": str(level), **texts, "missing": missing}


def _patients(stays: "pd.DataFrame", group: str) -> int:
    return int(stays.loc[stays["group"] == group, "subject_id"].nunique())


def _missing(stays: "pd.DataFrame", name: str) -> str:
    """The number of stays without a value, over both groups."""
    without = stays[stays[name].isna()]
    return FEWER if 0 < without["subject_id"].nunique() < SMALLEST_GROUP else f"{len(without)}"


def _hide_small(cells: dict[str, object], patients: Mapping[str, int]) -> None:
    for group, number in patients.items():
        if 0 < number < SMALLEST_GROUP:
            cells[group] = FEWER


def _hide_levels(cells: dict[str, object], patients: Mapping[str, int]) -> dict[str, object]:
    """Hide small levels, and the smallest other where those that are hidden are a small group together."""
    small = [level for level, number in patients.items() if 0 < number < SMALLEST_GROUP]
    for level in small:
        cells[level] = FEWER
    others = sorted((number, level) for level, number in patients.items() if number >= SMALLEST_GROUP)
    if others and 0 < sum(patients[level] for level in small) < SMALLEST_GROUP:
        cells[others[0][1]] = HIDDEN
    return cells


def _hide_groups(rows: list[dict[str, str]], patients: Mapping[str, int]) -> None:
    """Hide both groups where one is small: its size is the known size of the data set less the other's."""
    small = [group for group, number in patients.items() if 0 < number < SMALLEST_GROUP]
    for row in rows if small else []:
        row.update({group: FEWER if group in small else HIDDEN for group in GROUPS}, missing="")
