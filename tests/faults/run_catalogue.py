"""Run the fault catalogue and write what became of each fault: tests/faults/outcome.json and docs/reliability.md.

python tests/faults/run_catalogue.py                    every entry (`make faults`)
python tests/faults/run_catalogue.py "full disk" clock  these entries; the others keep their last outcome,
                                                        and the page the duration of the last whole run
python tests/faults/run_catalogue.py --page             the page alone, from the stored outcome
"""

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.faults.catalogue import CATALOGUE

ROOT = Path(__file__).parents[2]
OUTCOME = Path(__file__).with_name("outcome.json")
PAGE = ROOT / "docs/reliability.md"
BEGIN, END = "<!-- made by tests/faults/run_catalogue.py -->\n", "<!-- end -->\n"
COLUMNS = ("injected", "survived", "lost", "silently wrong", "skipped")
Outcome = dict[str, dict[str, Any]]
"""`entries`: entry -> column -> count. `whole`: minutes, CPU minutes and cores of the last run of all entries."""


class Counting:
    """A pytest plugin: how many faults of each entry were injected, survived, lost or silently wrong."""

    def __init__(self, entries: list[str]) -> None:
        self.faults = {name: Counter[str]() for name in entries}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            ending, count = "skipped", 1
        elif report.when == "call" or report.failed:
            wrong = "SilentlyWrongError" in report.longreprtext
            ending = "survived" if report.passed else "silently wrong" if wrong else "lost"
            # Of many faults in one case, how many were lost is not known: all count.
            count = int(dict(report.user_properties).get("injected", 1))
        else:
            return
        for name, faults in self.faults.items():
            if any(is_of(report.nodeid, test) for test in CATALOGUE[name].tests):
                faults.update({ending: count} if ending == "skipped" else {"injected": count, ending: count})


def is_of(case: str, test: str) -> bool:
    """Whether a case is that test, or one of its parameters, or in that file."""
    return case == test or case.startswith((f"{test}[", f"{test}::"))


def run(entries: list[str]) -> dict[str, dict[str, int]]:
    """Inject the faults of these entries; one session, so that the undisturbed study is made once."""
    counting = Counting(entries)
    tests = dict.fromkeys(str(ROOT / test) for name in entries for test in CATALOGUE[name].tests)
    # The expression asks for the full catalogue, and for all else besides.
    chosen = ("-m", "faults or not faults or acceptance")
    # A file at a time for each core; they share the undisturbed study.
    spread = ("--numprocesses", "auto", "--dist", "loadfile")
    status = pytest.main([*tests, *chosen, *spread, "-q", f"--rootdir={ROOT}"], plugins=[counting])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise SystemExit(f"pytest ends with {status!r}")
    return {name: {column: faults[column] for column in COLUMNS} for name, faults in counting.faults.items()}


def table(entries: dict[str, dict[str, int]]) -> str:
    """The table of the page."""
    names = COLUMNS[:4]
    lines = [
        "| entry | when | fault | survived means | injected | survived | lost | silently wrong |",
        "|---|---|---|---|--:|--:|--:|--:|",
    ]
    total: Counter[str] = Counter()
    for name, entry in CATALOGUE.items():
        found = entries.get(name)
        counts = [f"{found[column]:,}" for column in names] if found else ["not run yet", "", "", ""]
        total.update({column: found[column] for column in names} if found else {})
        lines.append(f"| {' | '.join([name, entry.phase, entry.fault, entry.ends, *counts])} |")
    lines.append(f"| **all** | | | | {' | '.join(f'{total[column]:,}' for column in names)} |")
    return "\n".join(lines) + "\n"


def duration(whole: dict[str, int]) -> str:
    """The sentence under the table."""
    if not whole:
        return ""
    took = "{minutes} minutes ({cpu_minutes} CPU minutes) on {cores} cores".format(**whole)
    return f"\nThe whole catalogue took {took}.\n"


def page(text: str, outcome: Outcome) -> str:
    """The page with the table anew."""
    before, _, rest = text.partition(BEGIN)
    made = f"\n{table(outcome['entries'])}{duration(outcome['whole'])}\n"
    return before + BEGIN + made + END + rest.partition(END)[2]


def measured(begun: float) -> dict[str, int]:
    """What a run cost since a time of the monotonic clock."""
    used = os.times()
    cpu_seconds = used.user + used.system + used.children_user + used.children_system
    return {
        "minutes": round((time.monotonic() - begun) / 60),
        "cpu_minutes": round(cpu_seconds / 60),
        "cores": len(os.sched_getaffinity(0)),
    }


def main() -> None:
    """Run what is asked for, then write both files."""
    outcome: Outcome = json.loads(OUTCOME.read_text(encoding="utf-8"))
    asked = [] if sys.argv[1:] == ["--page"] else sys.argv[1:] or list(CATALOGUE)
    unknown = set(asked) - CATALOGUE.keys()
    if unknown:
        raise SystemExit(f"no entry {', '.join(sorted(unknown))}; there are {', '.join(CATALOGUE)}")
    if asked:
        begun = time.monotonic()
        found = run(asked)
        # In the order of the catalogue, and without entries that it has no more.
        entries = outcome["entries"] | found
        outcome["entries"] = {name: entries[name] for name in CATALOGUE if name in entries}
        if found.keys() == CATALOGUE.keys():
            outcome["whole"] = measured(begun)
        OUTCOME.write_text(json.dumps(outcome, indent=2) + "\n", encoding="utf-8")
        # Nothing injected, or skipped, is no fault survived either.
        failed = [name for name in asked if not found[name]["survived"] or found[name]["skipped"]]
        failed += [name for name in asked if found[name]["survived"] < found[name]["injected"]]
        if failed:
            print(f"not survived, or not injected: {', '.join(dict.fromkeys(failed))}", file=sys.stderr)
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), outcome), encoding="utf-8")
    raise SystemExit(1 if asked and failed else 0)


if __name__ == "__main__":
    main()
