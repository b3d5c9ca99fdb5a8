"""Sepsis-3 a second time, from the definitions in docs/cohorts.md: stay by stay, row by row, in plain Python.

pandas reads the tables. Nothing here is shared with the SQL: windows are sliced, events are walked through.
Times are seconds. Repeated hours of mimic-code are left out (`repeated_hours` must be `merged`).
"""

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

Choices = dict[str, str | int]
Row = dict[str, Any]
Tables = dict[str, list[Row]]
"""Table -> rows; times are seconds, and what is missing is None."""
Hourly = dict[int, dict[int, int]]
"""Stay -> hour -> score."""

MINUTE, HOUR = 60, 3600
COMPONENTS = ["respiration", "coagulation", "liver", "cardiovascular", "central_nervous_system", "renal"]
NAMES_OF_MIMIC_CODE = """
    adoxa ala-tet alodox amikacin amikin amoxicillin amoxicillin clavulanate ampicillin augmentin avelox avidoxy azactam
    azithromycin aztreonam axetil bactocill bactrim bethkis biaxin bicillin_l-a cayston cefazolin cedax cefoxitin
    ceftazidime cefaclor cefadroxil cefdinir cefditoren cefepime cefotetan cefotaxime cefpodoxime cefprozil ceftibuten
    ceftin cefuroxime cephalexin chloramphenicol cipro ciprofloxacin claforan clarithromycin cleocin clindamycin cubicin
    dicloxacillin doryx doxycycline duricef dynacin ery-tab eryped eryc erythrocin erythromycin factive flagyl fortaz
    furadantin garamycin gentamicin kanamycin keflex ketek levaquin levofloxacin lincocin macrobid macrodantin maxipime
    mefoxin metronidazole minocin minocycline monodox monurol morgidox moxatag moxifloxacin myrac nafcillin_sodium
    nicazel_doxy_30 nitrofurantoin noroxin ocudox ofloxacin omnicef oracea oraxyl oxacillin pc_pen_vk pce_dispertab
    panixine pediazole penicillin periostat pfizerpen piperacillin tazobactam primsol proquin raniclor rifadin rifampin
    rocephin smz-tmp septra solodyn spectracef streptomycin_sulfate sulfadiazine sulfamethoxazole trimethoprim sulfatrim
    sulfisoxazole suprax synercid tazicef tetracycline timentin tobi tobramycin unasyn vancocin vancomycin vantin
    vibativ vibra-tabs vibramycin zinacef zithromax zmax zosyn zyvox
"""
NAMES_BESIDES = """
    ceftriaxone ceftaroline cefpirome penem cilastatin linezolid daptomycin tigecycline colisti nafcillin norfloxacin
    streptomycin telavancin quinupristin fosfomycin
"""
OXYGEN = {
    226732: "Nasal cannula|Face tent|Aerosol-cool|Trach mask|High flow neb|Non-rebreather|Venti mask"
    "|Medium conc mask|T-piece|High flow nasal cannula|Ultrasonic neb|Vapomist",
    467: "Cannula|Nasal Cannula|Face Tent|Aerosol-Cool|Trach Mask|Hi Flow Neb|Non-Rebreather|Venti Mask"
    "|Medium Conc Mask|Vapotherm|T-Piece|Hood|Hut|TranstrachealCat|Heated Neb|Ultrasonic Neb",
}
SETTINGS = {
    *(
        720,
        223848,
        223849,
        445,
        448,
        449,
        450,
        1340,
        1486,
        1600,
        224687,
        639,
        654,
        681,
        682,
        683,
        684,
        224684,
    ),
    *(
        224685,
        224686,
        218,
        436,
        535,
        444,
        224695,
        224696,
        224697,
        224746,
        224747,
        1,
        221,
        1211,
        1655,
        2000,
        224419,
    ),
    *(
        224738,
        224750,
        226873,
        227187,
        543,
        5865,
        5866,
        224705,
        224706,
        224707,
        224709,
        60,
        437,
        505,
        506,
        686,
        220339,
    ),
    *(224700, 3459, 501, 502, 503, 224702, 223, 667, 668, 669, 670, 671, 672, 224701),
}
MEAN_PRESSURES = {52, 443, 456, 6702, 220052, 220181, 225312}
EYES, VERBAL, MOTOR = {184, 220739}, {723, 223900}, {454, 223901}
# Item -> drug, and whether its rate is already divided by the weight.
DRUGS = {
    30047: ("norepinephrine", False),
    30120: ("norepinephrine", True),
    221906: ("norepinephrine", True),
    30044: ("epinephrine", False),
    30119: ("epinephrine", True),
    30309: ("epinephrine", True),
    221289: ("epinephrine", True),
    30043: ("dopamine", True),
    30307: ("dopamine", True),
    221662: ("dopamine", True),
    30042: ("dobutamine", True),
    30306: ("dobutamine", True),
    221653: ("dobutamine", True),
}
# Coefficient, mean and weight of a missing value, as printed in mimic-code's pivoted_bg_art.sql.
ARTERIAL = {
    "spo2": (-0.15356, 97.49420, 0.13429),
    "charted_fio2": (0.00621, 51.49550, -0.24958),
    50811: (0.10559, 10.32307, 0.05954),
    50817: (0.13251, 93.66539, -0.23172),
    50818: (-0.01511, 42.08866, -0.01630),
    50816: (0.01480, 63.97836, -0.31142),
    50801: (-0.00200, 442.21186, -0.01328),
    50803: (-0.03220, 22.96894, -0.06535),
    50804: (0.05384, 24.72632, -0.01405),
    50813: (0.08202, 3.06436, 0.06038),
    50820: (0.10956, 7.36233, -0.00617),
    50815: (0.00848, 7.59362, -0.35803),
}
HIGHEST = {50885: 150, 50912: 150, 51265: 10000, 50821: 800, 50816: 100, 50817: 100, 50815: 70}


def read_tables(events: Path) -> Tables:
    return {path.stem: _read_rows(path) for path in events.glob("*.parquet") if path.stem != "vitals"}


def _read_rows(path: Path) -> list[Row]:
    table = pd.read_parquet(path)
    columns = {}
    for name in table.columns:
        missing = table[name].isna()
        if pd.api.types.is_datetime64_any_dtype(table[name]):
            values = table[name].astype("datetime64[s]").astype("int64").tolist()
        elif name.endswith("id"):
            values = table[name].fillna(0).astype("int64").tolist()
        else:
            values = table[name].tolist()
        columns[name] = [None if gone else value for gone, value in zip(missing, values, strict=True)]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _group(rows: Iterable[Row], *keys: str) -> dict[Any, list[Row]]:
    """Rows by their keys; rows without one of them are left out."""
    found = defaultdict(list)
    for row in rows:
        key = tuple(row[name] for name in keys)
        if None not in key:
            found[key[0] if len(key) == 1 else key].append(row)
    return found


class Sepsis3:
    """Computes everything at once; `onsets`, `suspicions`, `hourly` and `sofa` hold the results."""

    def __init__(self, tables: Tables, choices: Choices) -> None:
        assert choices["repeated_hours"] == "merged"
        self.tables, self.choices = tables, choices
        self.stays = {row["icustay_id"]: row for row in tables["icustays"]}
        self.good_chart = [row for row in tables["clinical_chart"] if row["error"] != 1]
        self.admission_span = self._spans("admissions", "hadm_id", "admittime", "dischtime", 1, 1)
        self.stay_span = self._spans("icustays", "icustay_id", "intime", "outtime", HOUR, MINUTE)
        self.clock = dict(self._clocks())
        self.hourly: dict[str, Hourly] = {
            "respiration": self._respiration(),
            "coagulation": self._laboratory(51265, min, [(20, 4), (50, 3), (100, 2), (150, 1)]),
            "liver": self._laboratory(50885, max, [(12, 4), (6, 3), (2, 2), (1.2, 1)]),
            "cardiovascular": self._cardiovascular(),
            "central_nervous_system": self._central_nervous_system(),
            "renal": self._renal(),
        }
        self.sofa = {(stay, hour): self._worst(stay, hour) for stay, hour in self._hours() if hour >= 0}
        self.suspicions = self._suspicions()
        self.onsets = dict(self._onsets())

    # Time.

    def _spans(
        self, table: str, key: str, start: str, end: str, before: int, after: int
    ) -> dict[int, tuple[int, int, int]]:
        """Key -> subject, first and last moment of its data."""
        spans = {}
        for subject, rows in _group(self.tables[table], "subject_id").items():
            ordered = sorted(rows, key=lambda row: (row[start], row[key]))
            for number, row in enumerate(ordered):
                begin, finish = row[start] - 12 * HOUR, (row[end] or row[start]) + 12 * HOUR
                if number and ordered[number - 1][end] > row[start] - 24 * HOUR:
                    begin = row[start] - _half(ordered[number - 1][end], row[start], before)
                if number + 1 < len(ordered) and ordered[number + 1][start] < row[end] + 24 * HOUR:
                    finish = row[end] + _half(row[end], ordered[number + 1][start], after)
                spans[row[key]] = (subject, begin, finish)
        return spans

    def _clocks(self) -> Iterator[tuple[int, tuple[int, int]]]:
        """Stay, end of its hour 0, its last hour."""
        charted = defaultdict(list)
        for row in self.tables["clinical_chart"]:
            if row["itemid"] in (211, 220045) and row["hadm_id"] in self.admission_span:
                _, begin, finish = self.admission_span[row["hadm_id"]]
                if begin <= row["charttime"] < finish:
                    charted[row["icustay_id"]].append(row["charttime"])
        for stay, row in self.stays.items():
            if self.choices["hour_grid"] == "icu_admission":
                start, end = row["intime"], row["outtime"]
            elif stay in charted:
                start, end = min(charted[stay]), max(charted[stay])
            else:
                continue
            if start is not None and end is not None:
                yield stay, ((start + 59 * MINUTE) // HOUR * HOUR, end // HOUR - start // HOUR)

    def _hours(self) -> Iterator[tuple[int, int]]:
        for stay, (_, last) in self.clock.items():
            for hour in range(-24, last + 1):
                yield stay, hour

    def _hour_of(self, stay: int | None, time: int) -> int | None:
        """The hour (exclusive start, inclusive end) of a moment, None outside the stay's clock."""
        if stay not in self.clock:
            return None
        origin, last = self.clock[stay]
        hour = -((origin - time) // HOUR)
        return hour if -24 <= hour <= last else None

    # Components.

    def _laboratory(self, item: int, worst: Callable, points: list[tuple[float, int]]) -> Hourly:
        values = self._laboratory_values(item)
        return {
            stay: {hour: _points(worst(found), worst, points) for hour, found in hours.items()}
            for stay, hours in values.items()
        }

    def _laboratory_values(self, item: int) -> dict[int, dict[int, list[float]]]:
        found: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        usable = [
            row
            for row in self.tables["labevents"]
            if row["itemid"] == item and row["valuenum"] is not None and 0 < row["valuenum"] <= HIGHEST[item]
        ]
        by_subject = _group(usable, "subject_id")
        for stay, row in self.stays.items():
            _, begin, finish = self.admission_span[row["hadm_id"]]
            for time, values in _group(by_subject[row["subject_id"]], "charttime").items():
                hour = self._hour_of(stay, time)
                if begin <= time < finish and hour is not None:
                    found[stay][hour].append(_mean([value["valuenum"] for value in values]))
        return found

    def _respiration(self) -> Hourly:
        found: dict[int, dict[int, list[tuple[float, bool]]]] = defaultdict(lambda: defaultdict(list))
        for stay, time, ratio, ventilated in self.gases():
            hour = self._hour_of(stay, time)
            if hour is not None and ratio is not None:
                found[stay][hour].append((ratio, ventilated))
        return {
            stay: {hour: self._respiration_points(gases) for hour, gases in hours.items()}
            for stay, hours in found.items()
        }

    def _respiration_points(self, gases: list[tuple[float, bool]]) -> int:
        limits: dict[int, tuple[float, float]] = {4: (100, 0), 3: (200, 0), 2: (0, 300), 1: (0, 400)}
        if self.choices["ventilated_ratio_200_to_399"] == "scored":
            limits |= {2: (300, 300), 1: (400, 400)}
        best = 0
        for score, (with_ventilation, without) in limits.items():
            if any(ratio < (with_ventilation if ventilated else without) for ratio, ventilated in gases):
                best = max(best, score)
        return best

    def gases(self) -> Iterator[tuple[int, int, float | None, bool]]:
        """Stay, time, PaO2/FiO2 and ventilation of each arterial blood gas."""
        ventilated = self.ventilation()
        saturation = _timeline(
            self.tables["clinical_chart"],
            {646, 220277},
            lambda _, value: value if 0 < value <= 100 else None,
            _mean,
        )
        oxygen = _timeline(self.good_chart, {190, 3420, 3422, 223835}, self._percent, max)
        for (hadm, time), rows in _group(self.tables["labevents"], "hadm_id", "charttime").items():
            gas = _gas(rows)
            if gas is None or hadm not in self.admission_span:
                continue
            inspired = _last(oxygen.get(hadm), time, 4 * HOUR)
            values = gas | {"spo2": _last(saturation.get(hadm), time, 2 * HOUR), "charted_fio2": inspired}
            judged = gas["specimen"] is None or self.choices["venous_gases"] == "as_mimic_code"
            if gas["specimen"] != "ART" and not (judged and _arterial_probability(values) > 0.75):
                continue
            fio2 = gas[50816] if gas[50816] is not None else inspired
            subject = self.admission_span[hadm][0]
            stays = [
                stay
                for stay, (owner, begin, finish) in self.stay_span.items()
                if owner == subject and begin <= time < finish
            ]
            if stays:
                stay = max(stays, key=lambda stay: self.stays[stay]["intime"])
                on = any(start <= time <= end for start, end in ventilated.get(stay, []))
                yield stay, time, None if fio2 is None else 100 * gas[50821] / fio2, on

    def _percent(self, item: int, value: float) -> float | None:
        """Inspired oxygen in percent, None where the charted value cannot be one."""
        kept = self.choices["full_oxygen"] == "kept"
        if not 0 < value <= 100 or (value == 100 and not kept):
            return None
        if item == 190:
            return value * 100 if 0.2 < value < 1 or (value == 1 and kept) else None
        if item == 223835:
            if value <= 1:
                return value * 100
            return value if value >= 21 else None
        return value

    def ventilation(self) -> dict[int, list[tuple[int, int]]]:
        """Stay -> intervals of invasive ventilation, by walking through its signs."""
        signs: dict[int, dict[int, set[tuple[bool, bool, bool, bool]]]] = defaultdict(
            lambda: defaultdict(set)
        )
        relevant = SETTINGS | {467, 226732, 640}
        rows = [row for row in self.good_chart if row["itemid"] in relevant and row["value"] is not None]
        not_ventilators = {720: "Other/Remarks", 223848: "Other"}
        for (stay, time), group in _group(rows, "icustay_id", "charttime").items():
            pairs = {(row["itemid"], row["value"]) for row in group}
            on = (467, "Ventilator") in pairs
            on |= any(item in SETTINGS and not_ventilators.get(item) != value for item, value in pairs)
            oxygen = any(value.rstrip() in OXYGEN[item].split("|") for item, value in pairs if item in OXYGEN)
            by_patient = (640, "Self Extubation") in pairs
            signs[stay][time].add((on, oxygen, by_patient or (640, "Extubated") in pairs, by_patient))
        for (stay, time), group in _group(
            self.tables["procedureevents_mv"], "icustay_id", "starttime"
        ).items():
            for row in group:
                if row["itemid"] in (227194, 225468, 225477):
                    signs[stay][time].add((False, False, True, row["itemid"] == 225468))
        return {stay: _ventilation_events(times) for stay, times in signs.items()}

    def _cardiovascular(self) -> Hourly:
        pressures: dict[tuple[int, int], list[float]] = defaultdict(list)
        for row in self.good_chart:
            if row["itemid"] in MEAN_PRESSURES and row["valuenum"] is not None and 0 < row["valuenum"] < 300:
                hour = self._hour_of(row["icustay_id"], row["charttime"])
                if hour is not None:
                    pressures[row["icustay_id"], hour].append(row["valuenum"])
        infusions = self.infusions()
        scores: Hourly = defaultdict(dict)
        for stay, hour in self._hours():
            end = self.clock[stay][0] + hour * HOUR
            running: dict[str, float] = {}
            for drug, start, stop, rate in infusions.get(stay, []):
                if start < end <= stop:
                    running[drug] = max(rate, running.get(drug, rate))
            score = _cardiovascular_points(running, pressures.get((stay, hour), []))
            if score is not None:
                scores[stay][hour] = score
        return scores

    def infusions(self) -> dict[int, list[tuple[str, int, int, float]]]:
        """Stay -> drug, start (exclusive), end (inclusive), rate in mcg/kg/min."""
        found = defaultdict(list)
        for row in self.tables["inputevents_mv"]:
            given = row["statusdescription"] not in (None, "Rewritten") and row["rate"] is not None
            if row["itemid"] in DRUGS and given and row["icustay_id"] is not None:
                interval = (row["starttime"], row["endtime"], row["rate"])
                found[row["icustay_id"]].append((DRUGS[row["itemid"]][0], *interval))
        charted = [row | {"drug": DRUGS[row["itemid"]][0]} for row in self.tables["inputevents_cv"]
                   if row["itemid"] in DRUGS]  # fmt: skip
        weights = self.weights()
        for (stay, drug), rows in _group(charted, "icustay_id", "drug").items():
            moments = sorted(_group(rows, "charttime").items())
            for (moment, now), (following, _) in pairwise(moments):
                stopped = any(
                    row["stopped"] == "Stopped" or (row["stopped"] or "").startswith("D/C") for row in now
                )
                rates = [
                    row["rate"] if DRUGS[row["itemid"]][1] else row["rate"] / weight
                    for row in now
                    if row["rate"] is not None
                    for weight in _weights_at(weights.get(stay, []), moment)
                ]
                if rates and max(rates) > 0 and not stopped:
                    found[stay].append((drug, moment, following, max(rates)))
        return found

    def weights(self) -> dict[int, list[tuple[int, int, float]]]:
        """Stay -> start and end (both inclusive) of each weight."""
        found = {}
        items = {762: True, 226512: True, 763: False, 224639: False}
        rows = [row for row in self.tables["clinical_chart"]
                if row["itemid"] in items and row["error"] in (None, 0) and (row["valuenum"] or 0) > 0]  # fmt: skip
        for stay, group in _group(rows, "icustay_id").items():
            intime, outtime = self.stays[stay]["intime"], self.stays[stay]["outtime"]
            ordered = sorted(group, key=lambda row: (row["charttime"], row["valuenum"]))
            first = next((row for row in ordered if items[row["itemid"]]), None)
            moments = sorted(
                (intime - 2 * HOUR if row is first else row["charttime"], row["valuenum"]) for row in ordered
            )
            last = max(outtime or 0, moments[-1][0]) + 2 * HOUR
            ends = [*(time for time, _ in moments[1:]), last]
            intervals = [(time, end, weight) for (time, weight), end in zip(moments, ends, strict=True)]
            if intime < moments[0][0]:
                intervals.append((intime - 2 * HOUR, moments[0][0], moments[0][1]))
            found[stay] = intervals
        return found

    def _central_nervous_system(self) -> Hourly:
        lowest: Hourly = defaultdict(dict)
        for stay, time, total in self.coma_scales():
            hour = self._hour_of(stay, time)
            if hour is not None:
                lowest[stay][hour] = min(total, lowest[stay].get(hour, 15))
        points = [(6, 4), (10, 3), (13, 2), (15, 1)]
        return {stay: {hour: _points(low, min, points) for hour, low in hours.items()}
                for stay, hours in lowest.items()}  # fmt: skip

    def coma_scales(self) -> Iterator[tuple[int, int, int]]:
        """Stay, time and sum of the Glasgow coma scale."""
        rows = [row for row in self.good_chart if row["itemid"] in EYES | VERBAL | MOTOR]
        for stay, group in _group(rows, "icustay_id").items():
            before: tuple = (None, None, None)
            before_time = -math.inf
            for time, charted in sorted(_group(group, "charttime").items()):
                parts = tuple(_part(charted, items) for items in (EYES, VERBAL, MOTOR))
                fresh = time - before_time < 6 * HOUR
                yield stay, time, _coma_sum(parts, before if fresh else (None, None, None))
                before, before_time = parts, time

    def _renal(self) -> Hourly:
        urine: dict[int, dict[int, float]] = defaultdict(dict)
        for row in self.tables["outputevents"]:
            hour = self._hour_of(row["icustay_id"], row["charttime"])
            if hour is not None and row["iserror"] != 1 and row["value"] is not None:
                volume = -abs(row["value"]) if row["itemid"] == 227488 else row["value"]
                urine[row["icustay_id"]][hour] = urine[row["icustay_id"]].get(hour, 0) + volume
        self.by_creatinine = self._laboratory(50912, max, [(5, 4), (3.5, 3), (2, 2), (1.2, 1)])
        self.by_urine: dict[tuple[int, int], int] = {}
        scores: Hourly = defaultdict(dict)
        for stay, hour in self._hours():
            day = [urine[stay][past] for past in range(hour - 23, hour + 1) if past in urine[stay]]
            found = []
            if day and (hour >= 24 or self.choices["urine_on_partial_days"] == "as_mimic_code"):
                self.by_urine[stay, hour] = _points(sum(day), min, [(200, 4), (500, 3)])
                found.append(self.by_urine[stay, hour])
            if hour in self.by_creatinine.get(stay, {}):
                found.append(self.by_creatinine[stay][hour])
            if found:
                scores[stay][hour] = max(found)
        return scores

    # Sum, suspicion, onset.

    def _worst(self, stay: int, hour: int) -> dict[str, int | None]:
        first = hour - int(self.choices["window_hours"]) + 1
        worst: dict[str, int | None] = {}
        for name in COMPONENTS:
            charted = self.hourly[name].get(stay, {})
            worst[name] = max(
                (charted[past] for past in range(first, hour + 1) if past in charted), default=None
            )
        return worst | {"sofa": sum(score or 0 for score in worst.values())}

    def first_day(self) -> dict[int, dict[str, int | None]]:
        """The worst of the first 24 hours, laboratory values from 6 hours before; urine at the end of the day."""
        found = {}
        for stay, (_, last) in self.clock.items():
            day: dict[str, int | None] = {}
            for name in COMPONENTS:
                scores = (self.by_creatinine if name == "renal" else self.hourly[name]).get(stay, {})
                first = 0 if name in ("cardiovascular", "central_nervous_system") else -5
                values = [score for hour, score in scores.items() if first <= hour <= 24]
                if name == "renal" and (stay, min(24, last)) in self.by_urine:
                    values.append(self.by_urine[stay, min(24, last)])
                day[name] = max(values, default=None)
            found[stay] = day | {"sofa": sum(score or 0 for score in day.values())}
        return found

    def _suspicions(self) -> dict[int, dict[int, int]]:
        """Stay -> times of suspected infection, each with the time from which it is known."""
        cultures = defaultdict(set)
        for row in self.tables["microbiologyevents"]:
            only_a_date = row["charttime"] is None
            moment = row["chartdate"] if only_a_date else row["charttime"]
            cultures[row["hadm_id"]].add((moment, only_a_date))
        by_admission: dict[int, dict[int, int]] = defaultdict(dict)
        for hadm, time in self._antibiotics():
            taken = cultures[hadm]
            before = [each for each in taken if each[0] <= time <= each[0] + (96 if each[1] else 72) * HOUR]
            after = [each for each in taken if time <= each[0] <= time + 24 * HOUR]
            for culture, only_a_date in before or after:
                # Prescriptions have a date alone: at some time of that day.
                known = max(time + 24 * HOUR, culture + 24 * HOUR * only_a_date)
                earlier = by_admission[hadm].get(culture, known)
                by_admission[hadm][culture] = min(earlier, known)
        return {stay: by_admission[row["hadm_id"]] for stay, row in self.stays.items()
                if by_admission[row["hadm_id"]]}  # fmt: skip

    def _antibiotics(self) -> Iterator[tuple[int, int]]:
        """Admission and time of each prescription of a systemic antibiotic."""
        names = NAMES_OF_MIMIC_CODE
        if self.choices["antibiotic_names"] == "complete":
            names += NAMES_BESIDES
        parts = [name.replace("_", " ") for name in names.split()]
        passing = [row for row in self.tables["prescriptions"] if _is_antibiotic(row, parts)]
        if self.choices["antibiotic_rows"] == "by_drug_name":
            drugs = {row["drug"] for row in passing}
            passing = [row for row in self.tables["prescriptions"] if row["drug"] in drugs]
        for row in passing:
            if row["startdate"] is not None:
                yield row["hadm_id"], row["startdate"]

    def _onsets(self) -> Iterator[tuple[int, int]]:
        for stay, times in self.suspicions.items():
            chosen = {min(times)} if self.choices["suspicions"] == "earliest" else set(times)
            origin, last = self.clock.get(stay, (0, -1))
            septic = [
                (end, times[time])
                for end in (origin + hour * HOUR for hour in range(last + 1))
                for time in chosen
                if (self.sofa[stay, (end - origin) // HOUR]["sofa"] or 0) >= 2
                and time - 48 * HOUR <= end <= time + 24 * HOUR
            ]
            if septic and self.choices["onset"] == "knowable":
                yield stay, min(max(pair) for pair in septic)
            elif septic:
                yield stay, septic[0][0]


def _half(start: int, end: int, unit: int) -> int:
    """Half of the clock's unit boundaries between two times, rounded up."""
    return math.floor((end // unit - start // unit) / 2 + 0.5) * unit


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _points(value: float, worst: Callable, points: list[tuple[float, int]]) -> int:
    """The points of the first limit that the value lies below (worst: min) or reaches (worst: max)."""
    return next((score for limit, score in points if (value < limit if worst is min else value >= limit)), 0)


Timeline = tuple[list[int], list[float]]


def _timeline(
    chart: list[Row], items: set[int], usable: Callable[[int, float], float | None], combine: Callable
) -> dict[int, Timeline]:
    """Admission -> sorted times and their values, several of one time combined."""
    found: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in chart:
        if row["itemid"] in items and row["valuenum"] is not None:
            value = usable(row["itemid"], row["valuenum"])
            if value is not None:
                found[row["hadm_id"]][row["charttime"]].append(value)
    return {
        hadm: (sorted(times), [combine(times[time]) for time in sorted(times)])
        for hadm, times in found.items()
    }


def _last(timeline: Timeline | None, time: int, most: int) -> float | None:
    """The latest value that is at most so many seconds old."""
    if timeline is None:
        return None
    place = bisect_right(timeline[0], time) - 1
    return timeline[1][place] if place >= bisect_left(timeline[0], time - most) else None


def _gas(rows: list[Row]) -> dict | None:
    """The values of one time, None where there is no PaO2 or more than one specimen."""
    specimens = [row["value"] for row in rows if row["itemid"] == 50800]
    if len(specimens) > 1:
        return None
    gas: dict = {"specimen": specimens[0] if specimens else None}
    for item in [50821, *(key for key in ARTERIAL if isinstance(key, int))]:
        low, high = (20 if item == 50816 else 0), HIGHEST.get(item, math.inf)
        found = [row["valuenum"] for row in rows if row["itemid"] == item and row["valuenum"] is not None]
        values = [value for value in found if value > 0 and low <= value <= high]
        gas[item] = _mean(values) if values else None
    return gas if gas[50821] is not None else None


def _arterial_probability(gas: dict) -> float:
    total = -0.02544 + 0.04598 * gas[50821]
    for name, (coefficient, mean, missing) in ARTERIAL.items():
        total += coefficient * mean + missing if gas[name] is None else coefficient * gas[name]
    return 1 / (1 + math.exp(-total))


def _ventilation_events(times: dict[int, set[tuple[bool, bool, bool, bool]]]) -> list[tuple[int, int]]:
    events: dict[int, list[int]] = defaultdict(list)
    ventilated: set[int] = set()
    event, after_extubation, last_setting = 0, False, math.inf
    for time in sorted(times):
        ordered = sorted(times[time], key=lambda sign: sign[2])
        for on, oxygen, extubated, _ in ordered:
            breaks = oxygen and not on
            if on or extubated:
                breaks |= after_extubation
                after_extubation = extubated
            if on:
                breaks |= time - last_setting > 8 * HOUR
                last_setting = time
            event += breaks
        for on, _, extubated, _ in ordered:
            if on or extubated:
                events[event].append(time)
            if on:
                ventilated.add(event)
    return [(min(found), max(found)) for number, found in events.items()
            if number in ventilated and min(found) < max(found)]  # fmt: skip


def _cardiovascular_points(rates: dict[str, float], pressures: list[float]) -> int | None:
    strong = [rates[drug] for drug in ("epinephrine", "norepinephrine") if drug in rates]
    dopamine = rates.get("dopamine", 0)
    if dopamine > 15 or any(rate > 0.1 for rate in strong):
        return 4
    if dopamine > 5 or strong:
        return 3
    if dopamine > 0 or rates.get("dobutamine", 0) > 0:
        return 2
    if pressures:
        return 1 if min(pressures) < 70 else 0
    return 0 if rates else None


def _weights_at(intervals: list[tuple[int, int, float]], moment: int) -> list[float]:
    return [weight for start, end, weight in intervals if start <= moment <= end] or [80]


def _is_antibiotic(row: Row, parts: list[str]) -> bool:
    if row["drug"] is None or row["route"] is None or row["drug_type"] not in ("MAIN", "ADDITIVE"):
        return False
    drug, route = row["drug"].lower(), row["route"].lower()
    if row["route"] in {"OU", "OS", "OD", "AU", "AS", "AD", "TP"} or "ear" in route or "eye" in route:
        return False
    if any(word in drug for word in ("cream", "desensitization", "ophth oint", "gel")):
        return False
    return any(part in drug for part in parts)


def _part(charted: list[Row], items: set[int]) -> float | None:
    """The highest points of one part of the scale; 0 for a tube."""
    rows = [row for row in charted if row["itemid"] in items]
    tube = ("1.0 ET/Trach", "No Response-ETT")
    values = [0 if row["value"] in tube else row["valuenum"] for row in rows]
    return max((value for value in values if value is not None), default=None)


def _coma_sum(parts: tuple, earlier: tuple) -> int:
    verbal = parts[1] if parts[1] is not None else earlier[1]
    if verbal == 0:
        return 15
    if earlier[1] == 0:
        earlier = (None, None, None)
    normal = (4, 5, 6)
    chosen = [next(value for value in options if value is not None)
              for options in zip(parts, earlier, normal, strict=True)]  # fmt: skip
    return int(sum(chosen))
