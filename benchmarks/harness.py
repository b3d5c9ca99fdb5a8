"""What the benchmarks share: cases in turn or in processes of their own, clocks, models, windows, tables, command line.

What is compared runs in turn, and a ratio is taken within a round, so that other work on the machine slows both sides
alike. Times are CPU seconds of one thread where nothing else is said, because other work changes them least.
"""

import csv
import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import write_text
from workflow_scripts.runtime.machine import machine, versions
from workflow_scripts.runtime.terminal import show, table

if TYPE_CHECKING:
    from workflow_scripts.models.interface import ForecastModel
    from workflow_scripts.training.data import WindowArrays

ROOT = Path(__file__).parents[1]
CONTEXT, STEP, SEED = 24, 3600, 0
NANO = ("chronos-t5-nano", "moirai-nano", "lag-llama-nano")
MIB = 2**20

Row = Mapping[str, Any]
Tables = Mapping[str, Sequence[Row]]
"""Title -> rows, each column name -> cell."""

Models = Annotated[list[str], Option(help="a model of models/variants.yaml, once for each")]
Arms = Annotated[list[str], Option(help="an arm of docs/methods.md, once for each")]
Rounds = Annotated[int, Option(help="how often all cases are measured in turn")]
Batch = Annotated[int, Option(help="windows in one step")]
Samples = Annotated[int, Option(help="sample paths of a forecast")]
Output = Annotated[Path | None, Option(help="also write the tables to this file: .json, .csv or .md")]


def command_line(*commands: Callable[..., None]) -> typer.Typer:
    """The command line of a benchmark: one function, or several that are called by name.

    As for a step, a function's parameters are its options and its docstring is its help.
    """
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    for command in commands:
        app.command()(command)
    return app


def run(app: typer.Typer) -> None:
    """Run a benchmark with the options of the command line; an error that the user can fix is one message."""
    one_thread()
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def one_thread() -> None:
    """Compute with one thread here and in processes that are started, as a job that is given one core does."""
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


def in_turn(cases: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[Any]]:
    """What each case gave in every round; within a round the cases follow one another directly."""
    measured: dict[str, list[Any]] = {name: [] for name in cases}
    for number in range(rounds):
        # Every other round backwards, so that none is always the first.
        for name in list(cases)[:: -1 if number % 2 else 1]:
            measured[name].append(cases[name]())
    return measured


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median over the rounds of the quotient of two cases."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process for one call."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


class Clock:
    """CPU seconds between two calls of `tick`."""

    def __init__(self) -> None:
        self._ticks: list[float] = []

    def tick(self) -> None:
        """A step has ended."""
        self._ticks.append(time.process_time())

    def seconds(self, skip: int = 1) -> float:
        """The median step, without the first ones, which warm up."""
        ticks = self._ticks[skip:]
        return statistics.median(later - earlier for earlier, later in pairwise(ticks))


@dataclass(frozen=True)
class Cost:
    """What a process cost, its start and its ended children included. Seconds, MiB."""

    wall: float
    cpu: float
    peak_mib: float

    def row(self) -> dict[str, float]:
        """Its cells in a table."""
        return {"wall s": self.wall, "CPU s": self.cpu, "peak MiB": self.peak_mib}


def median_cost(costs: Sequence[Cost]) -> Cost:
    """The median of each part."""
    names = ("wall", "cpu", "peak_mib")
    return Cost(*(statistics.median(getattr(cost, name) for cost in costs) for name in names))


def isolated_command(function: str, *arguments: Any) -> list[str]:
    """The command that calls a function in a process of its own.

    function: `module:name`; only that module is imported there. arguments, and what it returns: as JSON has them.
    """
    return [sys.executable, "-m", "benchmarks.isolated", function, json.dumps(arguments)]


def isolated(function: str, *arguments: Any) -> tuple[Any, Cost]:
    """What a function returns in a process of its own, and what the process cost. Raises UserError where it fails."""
    begun = time.perf_counter()
    done = subprocess.run(isolated_command(function, *arguments), cwd=ROOT, stdout=subprocess.PIPE)
    if done.returncode:
        raise UserError(function, f"exit code {done.returncode}", "0", "see its messages above")
    found = json.loads(done.stdout.splitlines()[-1])
    return found["result"], Cost(time.perf_counter() - begun, found["cpu"], found["peak_mib"])


def command_cost(command: Sequence[object], folder: Path, **environment: str) -> Cost:
    """What a command in a folder cost. Raises UserError with the end of what it printed where it fails."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        end = said.decode(errors="replace")[-3000:]
        raise UserError(
            " ".join(map(str, command))[:300],
            f"exit code {process.returncode}\n{end}",
            "0",
            "correct the cause",
        )
    return Cost(time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def snakemake(cores: object, *arguments: object) -> list[object]:
    """Snakemake's command for this project's workflow, in any folder."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", cores]
    return [*command, "--workflow-profile", ROOT / "profiles" / "default", *arguments]


def step(name: str, **options: object) -> list[object]:
    """The command of a step of the workflow."""
    given = [part for option, value in options.items() for part in (f"--{option}", value)]
    return [sys.executable, "-m", f"workflow_scripts.steps.{name}", *given]


def random_model(name: str, arm: str = "zero-shot") -> "ForecastModel":
    """A variant of these sizes with seeded random weights, adapted by an arm. Costs do not depend on their values."""
    from workflow_scripts.adaptation.adapting import adapt
    from workflow_scripts.adaptation.arms import Arm
    from workflow_scripts.adaptation.parameters import AdaptationParameters
    from workflow_scripts.models.registry import family_class, variant

    one_thread()
    entry = variant(name)
    model = family_class(entry.family).create(entry.sizes, seed=SEED)
    adapt(model, Arm.parse(arm), AdaptationParameters(), SEED)
    return model


def noisy_days(count: int, horizon: int, context: int = CONTEXT) -> "WindowArrays":
    """Noisy daily rhythms between 0 and 1, as scaled vital signs are, all observed."""
    import numpy as np

    from workflow_scripts.training.data import WindowArrays

    random = np.random.default_rng(SEED)
    level = 0.2 + 0.2 * random.random((count, 1))
    rhythm = 0.05 * np.sin(np.arange(context + horizon) / 24 * 2 * np.pi)
    values = (level + rhythm + 0.02 * random.normal(size=(count, context + horizon))).astype(np.float32)
    start = np.arange(count) * STEP
    return WindowArrays(values[:, :context].copy(), values[:, context:].copy(), start, STEP)


def print_about(what: str) -> None:
    """Machine, versions, load, and what is measured."""
    here, load = machine(), os.getloadavg()[0]
    memory = f"{here['memory_gib']} GiB"
    where = (
        f"{here['gpu'] or here['processor']}, {here['cores']} cores, {memory}, load {load:.1f} as this began"
    )
    show(f"{where}; torch {versions()['torch']}", what)


def report(tables: Tables, output: Path | None = None) -> None:
    """Print the tables, and write them to a file where one is named."""
    for title, rows in tables.items():
        if rows:
            columns = _columns(rows)
            lines = [[_text(row.get(name, "")) for name in columns] for row in rows]
            numbers = {at for at, name in enumerate(columns) if not isinstance(rows[0].get(name), str)}
            show("", title, table(columns, lines, numbers))
    if output:
        write_text(output, WRITERS.get(output.suffix, _json)(tables))


def _columns(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _text(cell: Any) -> str:
    """Numbers with three significant digits, or all of those before the point."""
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:#.3g}".rstrip(".")
    return "" if cell is None else str(cell)


def _json(tables: Tables) -> str:
    return json.dumps(tables, indent=2) + "\n"


def _csv(tables: Tables) -> str:
    written = io.StringIO()
    for rows in tables.values():
        writer = csv.DictWriter(written, _columns(rows), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return written.getvalue()


def _markdown(tables: Tables) -> str:
    lines = []
    for title, rows in tables.items():
        columns = _columns(rows)
        cells = [
            columns,
            ["---"] * len(columns),
            *([_text(row.get(name, "")) for name in columns] for row in rows),
        ]
        lines += [title, "", *(f"| {' | '.join(line)} |" for line in cells), ""]
    return "\n".join(lines)


WRITERS: dict[str, Callable[[Tables], str]] = {".json": _json, ".csv": _csv, ".md": _markdown}
