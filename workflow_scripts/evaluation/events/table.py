"""How well every arm of one vital sign foresees its events, beside the baselines: events.csv and event_curves.csv."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.aggregation import ArmSummary, summarise_arms
from workflow_scripts.evaluation.bootstrap import draw_patients, draw_seeds
from workflow_scripts.evaluation.comparison import compare, holm, interval
from workflow_scripts.evaluation.events.baselines import LAST_VALUE, LOGISTIC, Splits, baseline_scores
from workflow_scripts.evaluation.events.curves import curve_rows, fixed_curves
from workflow_scripts.evaluation.events.definitions import events_of
from workflow_scripts.evaluation.events.details import arm_details
from workflow_scripts.evaluation.events.judging import NO_AREA, Question, ask
from workflow_scripts.evaluation.events.resampling import Replicates, mean_over_seeds, resample
from workflow_scripts.evaluation.events.rows import EventCurveRow, EventRow
from workflow_scripts.evaluation.events.run_paths import EVENT_PATHS, read_path_probabilities
from workflow_scripts.evaluation.events.run_probabilities import EventScore, Forecasts, event_score
from workflow_scripts.evaluation.events.tasks import event_tasks, refusal
from workflow_scripts.evaluation.forecasts import FORECASTS, VALIDATION_FORECASTS, read_forecasts_of
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.point_forecasts import forecasts_a_point
from workflow_scripts.evaluation.summary import MISSING, RunRow
from workflow_scripts.windows.reading import read_windows

Array = NDArray[np.float64]

BASELINE_ARM = "event-baseline"


@dataclass(frozen=True)
class Bench:
    """A task on the test windows, with what every arm is held against. replicates: of the baselines, by name."""

    question: Question
    replicates: dict[str, Replicates]
    values: dict[str, EventRow]


@dataclass(frozen=True)
class EventTables:
    """Rows of events.csv and of event_curves.csv."""

    events: list[EventRow] = field(default_factory=list)
    event_curves: list[EventCurveRow] = field(default_factory=list)


@dataclass(frozen=True)
class _Scored:
    """An arm's or a baseline's scores of test and validation windows, one of each for every seed."""

    model: str
    arm: str
    seeds: Sequence[int]
    test: Sequence[EventScore]
    validation: Sequence[EventScore]


def event_tables(
    rows: Sequence[RunRow], folders: Mapping[RunRow, Path], windows: Path, parameters: EvaluationParameters
) -> EventTables:
    """Judge all runs of one cohort and vital sign. folders: of each run; windows: the windows file."""
    tables, first = EventTables(), rows[0]
    if not events_of(first.vital):
        return tables
    splits = Splits(*(read_windows(windows, (split,)) for split in ("train", "validation", "test")))
    if why := refusal(splits.test.metadata):
        tables.events.extend(
            _hidden_row(first, (event.name, str(event.main), "", "", 0), f"events are not judged: {why}")
            for event in events_of(first.vital)
        )
        return tables
    draws = draw_patients(len(np.unique(splits.test.subject_id)), parameters.resamples, parameters.seed)
    judge = _Judge(first, splits, draws, parameters)
    questions = [ask(task, splits.test) for task in event_tasks(splits.test.metadata)]
    shown = [question for question in questions if not question.hidden]
    benches = [judge.bench(question, tables) for question in shown]
    for arm in summarise_arms(rows) if benches else []:
        if not forecasts_a_point(arm.first.model, arm.arm):
            for row in judge.arm_rows(arm, folders, benches, tables):
                tables.events.append(row)
    corrected = _with_holm(tables.events)
    order = {question.task.key: number for number, question in enumerate(questions)}
    hidden = [_hidden_row(first, each.task.key, each.hidden) for each in questions if each.hidden]
    tables.events[:] = sorted([*corrected, *hidden], key=lambda row: order[row.key])
    return tables


class _Judge:
    """Makes the rows of one cohort and vital sign."""

    def __init__(self, first: RunRow, splits: Splits, draws: Array, parameters: EvaluationParameters) -> None:
        self._first, self._splits, self._draws, self._parameters = first, splits, draws, parameters

    def bench(self, question: Question, tables: EventTables) -> Bench:
        """Judge the baselines of a task, whose rows are added to the tables."""
        bench = Bench(question, {}, {})
        scores = baseline_scores(question.task, self._splits)
        # Those that the others are compared with come first.
        for name in sorted(scores, key=lambda name: name not in (LOGISTIC, LAST_VALUE)):
            scored = _Scored(name, BASELINE_ARM, [0], [scores[name].test], [scores[name].validation])
            row, replicates = self._row(scored, bench)
            bench.replicates[name], bench.values[name] = replicates, replace(row, seeds=None)
            tables.event_curves.extend(self._curves(scored, question))
        tables.events.extend(bench.values[name] for name in scores)
        tables.event_curves.extend(fixed_curves(self._first, question))
        return bench

    def arm_rows(
        self, arm: ArmSummary, folders: Mapping[RunRow, Path], benches: Sequence[Bench], tables: EventTables
    ) -> Iterator[EventRow]:
        """The rows of an arm over all its seeds, one for each task that is shown."""
        first = arm.first
        if arm.failed or any(run.status == MISSING for run in arm.runs):
            for bench in benches:
                counts = _counts(bench.question)
                yield _row_of(
                    first, bench.question.task.key, first.model, first.arm, counts, {"reason": arm.reason}
                )
            return
        pairs = [self._forecasts(folders[run]) for run in arm.runs]
        for bench in benches:
            task = bench.question.task
            test = [event_score(task, *pair) for pair in pairs]
            before = [event_score(task, validation, validation) for _, validation in pairs]
            if any(score is None for score in (*test, *before)):
                counts, reason = _counts(bench.question), "too few fully observed validation windows"
                yield _row_of(first, task.key, first.model, first.arm, counts, {"reason": reason})
                continue
            seeds = [run.seed for run in arm.runs]
            scored = _Scored(first.model, first.arm, seeds, [*filter(None, test)], [*filter(None, before)])
            yield self._row(scored, bench)[0]
            tables.event_curves.extend(self._curves(scored, bench.question))

    def _forecasts(self, folder: Path) -> tuple[Forecasts, Forecasts]:
        splits = self._splits
        test, validation = (
            Forecasts(
                windows,
                *read_forecasts_of(folder / name, windows),
                read_path_probabilities(folder / EVENT_PATHS, windows),
            )
            for windows, name in ((splits.test, FORECASTS), (splits.validation, VALIDATION_FORECASTS))
        )
        return test, validation

    def _curves(self, scored: _Scored, question: Question) -> list[EventCurveRow]:
        if not all(score.is_probability for score in scored.test):
            return []
        values = [score.values[question.rows] for score in scored.test]
        return curve_rows(self._first, question, scored.model, scored.arm, values)

    def _row(self, scored: _Scored, bench: Bench) -> tuple[EventRow, Replicates]:
        question, parameters = bench.question, self._parameters
        values = [score.values[question.rows] for score in scored.test]
        names = scored.model, scored.arm
        if any(np.isnan(each).any() for each in values):
            row = _row_of(
                self._first, question.task.key, *names, _counts(question), {"reason": "a window has no score"}
            )
            return row, Replicates(None, None, None)
        runs = [
            resample(question, each, score.is_probability, self._draws)
            for each, score in zip(values, scored.test, strict=True)
        ]
        drawn = draw_seeds(len(self._draws), scored.seeds, parameters.seed)
        replicates = mean_over_seeds(runs, drawn)
        found: dict[str, Any] = {}
        found |= arm_details(question, scored.test, scored.validation, self._splits)
        if "auroc" not in found:
            found["reason"] = NO_AREA
        for name in ("auroc", "auprc", "brier"):
            own = getattr(replicates, name)
            if own is not None:
                found[f"{name}_low"], found[f"{name}_high"] = interval(own, parameters.confidence)
        found |= self._differences(found, replicates, bench)
        counts = _counts(question) | {"seeds": len(scored.seeds)}
        return _row_of(self._first, question.task.key, *names, counts, found), replicates

    def _differences(
        self, found: Mapping[str, Any], replicates: Replicates, bench: Bench
    ) -> dict[str, float | None]:
        """Paired differences from the baselines."""
        result: dict[str, float | None] = {}
        for column, metric, name in (
            ("above_logistic", "brier", LOGISTIC),
            ("auroc_above_last", "auroc", LAST_VALUE),
            ("auroc_above_logistic", "auroc", LOGISTIC),
        ):
            own, other = getattr(replicates, metric), getattr(bench.replicates.get(name), metric, None)
            if own is None or other is None:
                continue
            value, base = found[metric], getattr(bench.values[name], metric)
            seen = compare(value, base, own, other, self._parameters.confidence)
            result |= {column: seen.value, f"{column}_low": seen.low, f"{column}_high": seen.high}
            if metric == "brier":
                result["p_value"] = seen.p_value
        return result


def _counts(question: Question) -> dict[str, int | float | None]:
    return {
        "seeds": None,
        "patients": question.patients,
        "windows": len(question.rows),
        "events": question.episodes,
        "patients_with_event": question.patients_with_event,
        "prevalence": question.prevalence,
    }


def _row_of(
    first: RunRow,
    key: tuple[str, str, str, str, int],
    model: str,
    arm: str,
    counts: Mapping[str, Any],
    found: Mapping[str, Any],
) -> EventRow:
    values: dict[str, Any] = {"cohort": first.cohort, "vital": first.vital, "model": model, "arm": arm}
    values |= dict(zip(("event", "condition", "population", "form", "lead_minutes"), key, strict=True))
    return EventRow(**values | dict(counts) | dict(found))


def _hidden_row(first: RunRow, key: tuple[str, str, str, str, int], reason: str) -> EventRow:
    counts = dict.fromkeys(("seeds", "patients", "windows", "events", "patients_with_event"))
    return _row_of(first, key, "", "", counts, {"reason": reason})


def in_family(row: EventRow, main: Mapping[str, str]) -> bool:
    """Whether a row is among those that are corrected together: arms at every lead, by the main condition."""
    own = (row.population, row.form, row.condition) == ("onset", "at", main[row.event])
    return own and row.arm not in ("", BASELINE_ARM)


def _with_holm(rows: Sequence[EventRow]) -> list[EventRow]:
    """Correct the p-values of the vital sign's main rows together; the others have none."""
    if not rows:
        return []
    main = {event.name: str(event.main) for event in events_of(rows[0].vital)}
    family = [row for row in rows if in_family(row, main)]
    corrected = dict(zip(map(id, family), holm([row.p_value for row in family]), strict=True))
    return [
        replace(row, p_holm=corrected[id(row)], comparisons=len(family))
        if id(row) in corrected
        else replace(row, p_value=None)
        for row in rows
    ]
