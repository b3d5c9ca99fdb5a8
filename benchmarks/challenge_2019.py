"""Time and memory of each step from the Challenge 2019's archive to windows of one vital sign.

Every step is a process of its own, start-up included, as the workflow runs it.

    python -m benchmarks.challenge_2019 --raw data/raw/challenge-2019 --rounds 3 --output challenge.md
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from typer import Option

from benchmarks import harness

VITAL = "heart_rate"


def challenge_2019(
    raw: Annotated[Path, Option(help="the Challenge's archive, or its folder")],
    rounds: harness.Rounds = 1,
    output: harness.Output = None,
) -> None:
    """Read all records, label the cohort of all stays and cut its windows of heart rate; the medians of the rounds."""
    harness.print_about(f"medians of {rounds} rounds")
    measured: dict[str, list[harness.Cost]] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            for step, cost in measured_steps(raw.resolve(), Path(name)):
                measured.setdefault(step, []).append(cost)
    costs = {step: harness.median_cost(found) for step, found in measured.items()}
    total = harness.Cost(
        sum(cost.wall for cost in costs.values()),
        sum(cost.cpu for cost in costs.values()),
        max(cost.peak_mib for cost in costs.values()),
    )
    rows = [{"step": step, **cost.row()} for step, cost in (costs | {"all": total}).items()]
    harness.report({"From the Challenge 2019's archive to windows": rows}, output)


def measured_steps(raw: Path, folder: Path) -> Iterator[tuple[str, harness.Cost]]:
    """Run the steps one after the other in a folder, and give what each cost."""
    from workflow_scripts.cohorts.parameters import CohortParameters
    from workflow_scripts.sources.source import source_of
    from workflow_scripts.windows.parameters import WindowParameters

    settings = {
        "source": {},
        "vitals": [VITAL],
        "condition": source_of("challenge-2019").cohorts["all"],
        "onset": "onset",
        "cohort": CohortParameters().model_dump(mode="json"),
        "windows": WindowParameters().model_dump(mode="json"),
        "plausible_ranges": True,
    }
    (folder / "settings.json").write_text(json.dumps({"code": "", "parameters": settings}), encoding="utf-8")
    commands = {
        "read_source": {"dataset": "challenge-2019", "raw": raw, "output": "."},
        "label_source_cohort": {
            "values": "vitals.parquet",
            "stays": "stays.parquet",
            "cohort": "all",
            "output": "all.parquet",
            "attrition": "all.csv",
            "threads": 2,
        },
        "make_windows": {
            "values": "vitals.parquet",
            "cohort": "all.parquet",
            "vital": VITAL,
            "reading": "reading.json",
            "output": "windows.parquet",
            "attrition": "windows.csv",
        },
    }
    for name, options in commands.items():
        yield name, harness.command_cost(harness.step(name, settings="settings.json", **options), folder)


app = harness.command_line(challenge_2019)

if __name__ == "__main__":
    harness.run(app)
