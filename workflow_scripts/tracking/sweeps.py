"""Sweeps: one model on one vital sign of one cohort, under all arms and seeds, and what is chosen among them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from workflow_scripts.evaluation.aggregation import ArmSummary, run_row, summarise_arms
from workflow_scripts.evaluation.choice import best_seed, by_validation, recommended
from workflow_scripts.evaluation.run_record import RunRecord
from workflow_scripts.evaluation.summary import RunRow


@dataclass(frozen=True)
class StoredRun:
    """A finished run: its record, the record's path, and its row of metrics.csv."""

    path: Path
    record: RunRecord
    row: RunRow


@dataclass(frozen=True)
class Sweep:
    """The runs of one sweep. runs: those that have finished; missing: paths of the records of the others."""

    dataset: str
    cohort: str
    vital: str
    model: str
    runs: list[StoredRun] = field(default_factory=list)
    missing: list[Path] = field(default_factory=list)

    @property
    def key(self) -> dict[str, object]:
        """What identifies the sweep."""
        return {name: getattr(self, name) for name in ("dataset", "cohort", "vital", "model")}

    @property
    def name(self) -> str:
        """`chronos-t5-nano · heart rate · sepsis3`."""
        return f"{self.model} · {in_words(self.vital)} · {self.cohort}"

    @cached_property
    def arms(self) -> list[ArmSummary]:
        """The arms, each with its seeds."""
        return summarise_arms(run.row for run in self.runs)

    @cached_property
    def recommended(self) -> ArmSummary | None:
        """The recommended arm; None where none is complete."""
        return recommended(self.arms)

    def best_rank(self) -> int | None:
        """The rank with the smallest validation error; None where no arm with a rank learned anything."""
        learnt = [arm for arm in self.arms if not learned_nothing(arm)]
        return next((arm.first.rank for arm in by_validation(learnt) if arm.first.rank), None)

    def best_run(self) -> StoredRun | None:
        """The run to register: the best seed of the recommended arm, where that one learned something."""
        arm = self.recommended
        if arm is None or arm.kind != "foundation" or not arm.arm.trains or learned_nothing(arm):
            return None
        best = best_seed(arm)
        return next(run for run in self.runs if run.row is best)


def learned_nothing(arm: ArmSummary) -> bool:
    """Whether in no seed a step of the training lowered the validation loss."""
    return all(run.best_step == 0 for run in arm.runs)


def read_sweeps(dataset: str, paths: Sequence[Path]) -> list[Sweep]:
    """Read the records of a study by sweep, in the order of the paths.

    paths: .../<cohort>/<vital>/<model>/<arm>/seed<k>/run.json; those that are not there count as missing.

    Raises UserError where a file is no run record.
    """
    sweeps: dict[tuple[str, ...], Sweep] = {}
    for path in paths:
        cohort, vital, model = path.absolute().parts[-6:-3]
        sweep = sweeps.setdefault((cohort, vital, model), Sweep(dataset, cohort, vital, model))
        if path.is_file():
            record = RunRecord.read_in_place(path)
            sweep.runs.append(StoredRun(path, record, run_row(record)))
        else:
            sweep.missing.append(path)
    return list(sweeps.values())


def in_words(name: str) -> str:
    """A name from the settings in words: `heart rate`."""
    return name.replace("_", " ")
