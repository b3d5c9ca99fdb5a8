"""The recommended arm of one model, and its adapter, copied."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from workflow_scripts.evaluation.aggregation import collect_rows, summarise_arms
from workflow_scripts.evaluation.choice import choose_adapter as choose
from workflow_scripts.runtime.files import atomic_folder, require_own_folder, write_json
from workflow_scripts.runtime.step import run_step


def choose_adapter(
    records: Annotated[
        list[Path], Argument(help="run.json of every run of one model on one cohort and vital sign")
    ],
    output: Annotated[Path, Option(help="folder to write choice.json, run.json and the adapter to")],
) -> None:
    """Say which arm of one model is recommended on one cohort and vital sign, and copy its adapter.

    It is chosen on validation alone. Zero-shot competes: where it is recommended there is no adapter to copy, and
    choice.json says so.

    Example:
        python -m workflow_scripts.steps.choose_adapter --output best \\
            results/simulated/runs/sepsis3/heart_rate/moirai-nano/*/seed*/run.json
    """
    require_own_folder(output)
    arms = summarise_arms(collect_rows(records))
    choice = choose(arms)
    folders = {path.absolute().parts[-3:-1]: path.parent for path in records}
    chosen = folders[choice.arm, f"seed{choice.seed}"]
    subject = {name: getattr(arms[0].first, name) for name in ("dataset", "cohort", "vital")}
    # As in a run's folder, the record is beside the adapter: it says how good it is.
    with atomic_folder(output) as folder:
        if (chosen / "adapter").is_dir():
            shutil.copytree(chosen / "adapter", folder / "adapter")
        shutil.copyfile(chosen / "run.json", folder / "run.json")
        write_json(folder / "choice.json", subject | asdict(choice))
    print(f"{choice.model}, {arms[0].first.vital}, {arms[0].first.cohort}: {choice.reason}")


if __name__ == "__main__":
    run_step(choose_adapter)
