"""Choose the best adapter of one model on one cohort and vital sign, by validation loss, and copy it.

Example:
    python -m workflow_scripts.steps.choose_adapter --output best \\
        --records results/simulated/runs/sepsis3/heart_rate/moirai-nano/*/seed*/run.json
"""

import argparse
import shutil
from dataclasses import asdict
from pathlib import Path

from workflow_scripts.evaluation.aggregation import collect_rows, summarise_arms
from workflow_scripts.evaluation.choice import choose_adapter
from workflow_scripts.runtime.files import atomic_folder, write_json
from workflow_scripts.runtime.step import run_step


def main() -> None:
    """Read the records, choose, and write the folder: adapter/, its run.json, and choice.json, which says why."""
    options = _parse_arguments()
    arms = summarise_arms(collect_rows(options.records))
    choice = choose_adapter(arms)
    folders = {path.absolute().parts[-3:-1]: path.parent for path in options.records}
    chosen = folders[choice.arm, f"seed{choice.seed}"]
    subject = {name: getattr(arms[0].first, name) for name in ("dataset", "cohort", "vital")}
    # As in a run's folder, the record lies beside the adapter: it says how to use it.
    with atomic_folder(options.output) as folder:
        shutil.copytree(chosen / "adapter", folder / "adapter")
        shutil.copyfile(chosen / "run.json", folder / "run.json")
        write_json(folder / "choice.json", subject | asdict(choice))
    print(f"{choice.model}, {arms[0].first.vital}, {arms[0].first.cohort}: {choice.reason}")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--records",
        required=True,
        nargs="+",
        type=Path,
        help="run.json of every run of one model on one cohort and vital sign",
    )
    parser.add_argument("--output", required=True, type=Path, help="folder to write the chosen adapter to")
    return parser.parse_args()


if __name__ == "__main__":
    run_step(main)
