"""The presets of Sepsis-3, compared on a data set."""

from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.cohorts.comparison import Onsets, Step, compare_presets, count_parts
from workflow_scripts.cohorts.parameters import PRESETS
from workflow_scripts.runtime.files import require_own_file, write_parquet
from workflow_scripts.runtime.step import run_step


def counts_table(counts: dict[str, dict[str, int]]) -> str:
    """The counts of each preset as a Markdown table."""
    presets = list(counts)
    lines = [f"| | {' | '.join(f'`{preset}`' for preset in presets)} |", f"|---|{'---:|' * len(presets)}"]
    for part in counts[presets[0]]:
        lines.append(f"| {part} | {' | '.join(str(counts[preset][part]) for preset in presets)} |")
    return "\n".join(lines)


def comparison_table(steps: list[Step]) -> str:
    """The steps as a Markdown table."""
    lines = ["| one more choice | septic stays | gained | lost | onset earlier | onset later |"]
    lines += ["|---|---:|---:|---:|---:|---:|"]
    for step in steps:
        counts = [step.septic, step.gained, step.lost, step.earlier, step.later]
        lines.append(f"| `{step.choice}: {step.value}` | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


def _write_stays(path: Path, steps: list[Step], onsets: list[Onsets]) -> None:
    import pyarrow as pa

    stays = sorted(set().union(*onsets))
    columns = {"icustay_id": pa.array(stays, pa.int64())}
    for step, found in zip(steps, onsets, strict=True):
        columns[step.choice] = pa.array([found.get(stay) for stay in stays], pa.timestamp("us"))
    write_parquet(path, pa.table(columns))


def compare_sepsis3(
    events: Annotated[Path, Option(help="folder with the events tables (Parquet)")],
    stays: Annotated[
        Path | None,
        Option(
            help="table to write as well (Parquet): the onset of every ICU stay after each step (rows of patients,"
            " so it belongs beside the events)"
        ),
    ] = None,
    threads: Annotated[int, Option(help="threads of the query engine")] = 1,
) -> None:
    """Print what the presets of Sepsis-3 count on a data set, and where they part: one choice after the other.

    Example:
        python -m workflow_scripts.steps.compare_sepsis3 --events data/mimic-iii-demo/events
    """
    if stays:
        require_own_file(stays)
    print(counts_table({preset: count_parts(events, preset, threads) for preset in PRESETS}))
    steps, onsets = compare_presets(events, threads)
    print(f"\n{comparison_table(steps)}")
    if stays:
        _write_stays(stays, steps, onsets)


if __name__ == "__main__":
    run_step(compare_sepsis3)
