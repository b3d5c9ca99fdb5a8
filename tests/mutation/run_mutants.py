"""Do the quick tests of a room notice when its code is wrong? A seeded sample of small faults, each tested alone.

Cosmic Ray makes the mutants: a flipped comparison, another operator, a changed number, a negated condition. Each one
is tested by the quick tests of its own room, in a process forked from one that has imported the large libraries. A
mutant is killed where a test fails or the tests take too long. Survivors are printed as the lines that they change.

    make mutants
    python tests/mutation/run_mutants.py --sample 40 --seed 1 --rooms evaluation
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from queue import Queue
from typing import Annotated

import pytest
import typer
from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

REPOSITORY = Path(__file__).resolve().parents[2]
ROOMS = ("adaptation", "evaluation", "training", "windows")
QUICK = "not workflow and not acceptance and not faults and not demo"
KINDS = (
    "core/ReplaceComparisonOperator",
    "core/ReplaceBinaryOperator",
    "core/ReplaceUnaryOperator",
    "core/ReplaceAndWithOr",
    "core/ReplaceOrWithAnd",
    "core/ReplaceTrueWithFalse",
    "core/ReplaceFalseWithTrue",
    "core/NumberReplacer",
    "core/AddNot",
)
"""Beginnings of the names of Cosmic Ray's operators that are used: faults as people make them."""
NOT_CODE = ("|", "TYPE_CHECKING", "__name__", "frozen=", "strict=", "sort_keys=", "_AT_ONCE =")
"""Lines with one of these are types, guards of imports, flags that only guard or the order of keys in JSON: a mutant
there changes no result."""
SLOWEST = 180
"""Seconds after which a mutant's tests are taken for a loop without end."""
IMPORTED_BEFORE = (
    *("torch", "peft", "transformers.models.t5.modeling_t5", "pandas", "pyarrow.parquet", "pyarrow.dataset"),
    *("scipy.stats", "hypothesis", "sklearn.metrics", "gluonts.evaluation.metrics", "torch._dynamo"),
    *("darts.models.forecasting.nhits", "pydantic", "typer", "statsmodels.stats.multitest"),
)


@dataclass(frozen=True)
class Mutant:
    """One small fault. module: path below the repository; occurrence: which of the operator's places in it."""

    module: str
    operator: str
    occurrence: int
    line: int

    @property
    def room(self) -> str:
        """The room of the mutated module."""
        return self.module.split("/")[1]


def all_mutants(rooms: list[str]) -> Iterator[Mutant]:
    """Every mutant of these rooms, in the order of files, operators and places."""
    names = [name for name in operator_names() if name.startswith(KINDS)]
    for path in sorted(
        path for room in rooms for path in (REPOSITORY / "workflow_scripts" / room).rglob("*.py")
    ):
        tree, lines = get_ast_from_path(path), path.read_text(encoding="utf-8").splitlines()
        for name in names:
            operator = get_operator(name)()
            places = (place for node in ast_nodes(tree) for place in operator.mutation_positions(node))
            for occurrence, ((line, _), _) in enumerate(places):
                if not any(sign in lines[line - 1] for sign in NOT_CODE):
                    yield Mutant(str(path.relative_to(REPOSITORY)), name, occurrence, line)


def sample(mutants: list[Mutant], size: int, seed: int) -> list[Mutant]:
    """So many mutants, no two on one line of a file, so that no line counts more than others."""
    shuffled = random.Random(seed).sample(mutants, len(mutants))
    one_a_line = {(mutant.module, mutant.line): mutant for mutant in reversed(shuffled)}
    return sorted(list(one_a_line.values())[-size:], key=lambda mutant: (mutant.module, mutant.line))


def checkout() -> Path:
    """A copy of everything that git does not ignore, for one process at a time."""
    folder = Path(tempfile.mkdtemp(prefix="mutants-"))
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listing, cwd=REPOSITORY, capture_output=True, check=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, folder / name)
    return folder


def mutated_source(mutant: Mutant) -> str:
    """The module's text with the fault in it."""
    source = (REPOSITORY / mutant.module).read_text(encoding="utf-8")
    return mutate_code(source, get_operator(mutant.operator)(), mutant.occurrence)


def nearest_first(folder: Path, room: str, module: str = "") -> list[str]:
    """The room's test files: those that import the module first, those that start processes last."""
    name = module.removesuffix(".py").replace("/", ".")
    texts = {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in sorted((folder / "tests" / room).rglob("test_*.py"))
    }
    return sorted(texts, key=lambda path: (name not in texts[path], "import subprocess" in texts[path]))


def passes(folder: Path, tests: list[str]) -> bool:
    """Run quick tests in a fork of this process; False where one fails or they take too long."""
    child = os.fork()
    if not child:
        os.setsid()
        _run_tests(folder, tests)
    deadline = time.monotonic() + SLOWEST
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _run_tests(folder: Path, tests: list[str]) -> None:
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", QUICK, *tests])
    os._exit(int(status))


def survives(mutant: Mutant, folders: "Queue[Path]") -> bool:
    """Whether the quick tests of its room pass with this fault in the code."""
    folder = folders.get()
    module = folder / mutant.module
    whole = module.read_text(encoding="utf-8")
    try:
        module.write_text(mutated_source(mutant), encoding="utf-8")
        return passes(folder, nearest_first(folder, mutant.room, mutant.module))
    finally:
        module.write_text(whole, encoding="utf-8")
        folders.put(folder)


def changed_line(mutant: Mutant) -> str:
    """Where the fault is, and the line before and after."""
    before = (REPOSITORY / mutant.module).read_text(encoding="utf-8").splitlines()
    after = mutated_source(mutant).splitlines()
    place = next(
        (number for number, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), 0
    )
    return f"{mutant.module}:{place + 1}\n    - {before[place].strip()}\n    + {after[place].strip()}"


def main(
    size: Annotated[int, typer.Option("--sample", help="number of mutants")] = 150,
    seed: Annotated[int, typer.Option(help="seed of the sample")] = 0,
    rooms: Annotated[list[str] | None, typer.Option(help="rooms to change (all of them)")] = None,
    least: Annotated[float, typer.Option(help="smallest share of killed mutants for success")] = 0.9,
    processes: Annotated[int, typer.Option(help="tests at once")] = len(os.sched_getaffinity(0)),
) -> None:
    """Test a sample of mutants, print the survivors and a table by room; exit code 1 where too many survive."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # The plugins that libraries bring along for pytest take longer to import than most mutants to be killed.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    rooms = rooms or list(ROOMS)
    chosen = sample(list(all_mutants(rooms)), size, seed)
    for name in IMPORTED_BEFORE:
        import_module(name)
    folders: Queue[Path] = Queue()
    for _ in range(processes):
        folders.put(checkout())
    begun, survivors = time.monotonic(), []
    try:
        for room in rooms:
            if not passes(folders.queue[0], nearest_first(folders.queue[0], room)):
                raise SystemExit(f"the quick tests of {room} fail without any mutant: mend them first")
        with ThreadPoolExecutor(processes) as pool:
            for number, (mutant, alive) in enumerate(
                zip(chosen, pool.map(lambda each: survives(each, folders), chosen), strict=True), 1
            ):
                if alive:
                    survivors.append(mutant)
                    print(f"survived, {len(survivors)} of {number}: {changed_line(mutant)}", flush=True)
    finally:
        for folder in folders.queue:
            shutil.rmtree(folder, ignore_errors=True)
    tested, alive_by_room = Counter(each.room for each in chosen), Counter(each.room for each in survivors)
    for room, count in tested.items():
        print(f"{room}: {count - alive_by_room[room]} of {count} killed")
    killed = 1 - len(survivors) / len(chosen)
    print(
        f"{len(chosen) - len(survivors)} of {len(chosen)} killed ({killed:.1%}), {time.monotonic() - begun:.0f} s"
    )
    if killed < least:
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
