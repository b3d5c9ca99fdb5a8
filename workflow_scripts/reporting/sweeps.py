"""Sweeps: one model on one vital sign of one cohort, under all arms and seeds, and what is chosen among them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.reporting.run_pages import Record, run_metrics
from workflow_scripts.tracking.names import key_text


@dataclass(frozen=True)
class Sweep:
    """The finished runs of one sweep. expected: how many the study has; run_ids: MLflow's, by the key's text."""

    key: Mapping[str, object]
    records: Sequence[Record]
    expected: int
    run_ids: Mapping[str, str]
    stand_in: bool

    @property
    def done(self) -> bool:
        """Whether no run is missing."""
        return len(self.records) == self.expected

    @property
    def arms(self) -> dict[str, list[Record]]:
        """The records of each arm, over seeds."""
        arms: dict[str, list[Record]] = defaultdict(list)
        for record in self.records:
            arms[str(record["key"]["arm"])].append(record)
        return arms

    def chosen(self) -> list[Record]:
        """The adapter with the smallest mean validation loss over seeds; a sweep without adapters: its one arm.

        The test split is not looked at. Full fine-tuning is no adapter, and neither is a model from scratch, whose
        arms have losses that do not compare. Of equals the one with the fewest trained parameters is chosen.
        """
        adapters = self.adapters
        if adapters:
            return min(adapters, key=lambda runs: (validation_loss(runs), runs[0]["parameters"]["trainable"]))
        return next(iter(self.arms.values())) if len(self.arms) == 1 else []

    @property
    def adapters(self) -> list[list[Record]]:
        """The arms that left an adapter which learned something, in every seed a whole run."""
        return [
            runs
            for name, runs in self.arms.items()
            if Arm.parse(name).is_adapter and validation_loss(runs) is not None and not is_idle(runs)
        ]

    def best_rank(self) -> int | None:
        """The rank with the smallest mean validation loss over seeds; of equals the smallest."""
        ranked = [runs for runs in self.adapters if runs[0]["rank"]]
        best = min(ranked, key=lambda runs: (validation_loss(runs), runs[0]["rank"]), default=None)
        return int(best[0]["rank"]) if best else None

    def best_adapter(self) -> Record | None:
        """The run whose adapter is registered: of the chosen arm, the seed with the smallest validation loss."""
        chosen = self.chosen() if self.adapters else []
        return min(chosen, key=lambda record: validation_loss([record]) or 0.0, default=None)

    def run_id(self, record: Record) -> str:
        """MLflow's id of a run."""
        return self.run_ids[key_text(record["key"])]


def sweep_keys(dataset: str, paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The keys of the sweeps that the runs belong to, from the grammar of their paths."""
    keys = [dict(zip(("cohort", "vital", "model"), path.parts[-6:-3], strict=True)) for path in paths]
    return list({key_text(key): {"dataset": dataset, **key} for key in keys}.values())


def validation_loss(runs: Sequence[Record]) -> float | None:
    """The mean of the smallest validation losses; None where a run did not train, or diverged."""
    losses: list[Any] = [(run["training"] or {}).get("best_validation_loss") for run in runs]
    return None if None in losses else fmean(losses)


def is_idle(runs: Sequence[Record]) -> bool:
    """Whether no run's training lowered the validation loss: the weights are those of step 0."""
    return all(run["training"] and run["training"]["best_step"] == 0 for run in runs)


def means(runs: Sequence[Record]) -> dict[str, float | None]:
    """The mean of each metric over runs; None where one of them has none."""
    found = [run_metrics(run) for run in runs]
    return {
        name: None
        if any(each.get(name) is None for each in found)
        else fmean(float(each[name] or 0) for each in found)
        for name in (found[0] if found else {})
    }
