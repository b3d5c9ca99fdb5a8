"""Time and memory of the extraction from CHARTEVENTS and of the simulator, against their rows.

`extract`: simulated CHARTEVENTS of some percent of MIMIC-III's 330,712,483 rows, with as many rows that no study reads
as in the open demo, gzipped and plain. Each way of chart_filters.py runs in a process of its own, start-up included,
in turn, so that a busy machine slows all of them. 10 percent need 4 GB of disk. Needs envs/benchmarks.txt.

`simulate`: each size in a process of its own, with as many rows that no study reads as in the open demo, and without.

    python -m benchmarks.data extract --percent 1 --percent 3 --percent 10 --once pandas --once duckdb \\
        --output docs/figures/extract.csv --figure docs/figures/extract.svg
    python -m benchmarks.data simulate --patients 400 --patients 1600
"""

import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from benchmarks import harness

FULL_ROWS = 330_712_483
ROWS_PER_PATIENT = 7_460
ROUTINE_EVENTS = 4.7
WAYS = ("igzip", "zcat", "vitalora", "polars", "duckdb", "pandas")


def extract(
    percent: Annotated[list[float], Option(help="size of a table, once for each")] = (1, 3, 10),
    rounds: harness.Rounds = 3,
    ways: Annotated[list[str], Option(help="a way of chart_filters.py, once for each")] = WAYS,
    once: Annotated[list[str], Option(help="a slow way that runs in the first round alone")] = (),
    folder: Annotated[Path | None, Option(help="where simulated tables are, and stay")] = None,
    figure: Annotated[Path | None, Option(help="file for a figure (SVG or PNG)")] = None,
    output: harness.Output = None,
) -> None:
    """Compare ways to filter CHARTEVENTS; the medians of the rounds."""
    harness.print_about(f"medians of {rounds} rounds")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for size in percent:
            paths, count = simulated(folder or Path(name), size)
            for path in paths:
                cases = {kind: partial(filtered, kind, path) for kind in ways if kind not in once}
                found = harness.in_turn(
                    {kind: partial(filtered, kind, path) for kind in ways if kind in once}, 1
                )
                found |= harness.in_turn(cases, rounds)
                rows += size_rows(
                    path.suffix == ".gz", count, {kind: harness.median_cost(found[kind]) for kind in ways}
                )
    tables = {f"Filtering CHARTEVENTS; ratios to {ways[0]}": rows}
    if len(percent) > 1:
        tables[f"All {FULL_ROWS:,} rows, by the line through the smallest and the largest size"] = full_table(
            rows
        )
    harness.report(tables, output)
    if figure:
        draw(rows, figure)


def simulated(folder: Path, percent: float) -> tuple[list[Path], int]:
    """Return the gzipped and the plain CHARTEVENTS of a size, and their rows; made where they are missing."""
    zipped, plain = (folder / f"{percent:g}-percent-{kind}" for kind in ("gzip", "plain"))
    counted = zipped / "rows.txt"
    if not counted.exists():
        zipped.mkdir(parents=True, exist_ok=True)
        patients = max(20, round(FULL_ROWS * percent / 100 / ROWS_PER_PATIENT))
        counted.write_text(str(make_tables(patients, ROUTINE_EVENTS, str(zipped))), encoding="utf-8")
    if not plain.exists():
        plain.mkdir()
        shutil.copy(zipped / "ICUSTAYS.csv.gz", plain)
        with (plain / "CHARTEVENTS.csv").open("wb") as file:
            subprocess.run(["zcat", str(zipped / "CHARTEVENTS.csv.gz")], stdout=file, check=True)
    return [zipped / "CHARTEVENTS.csv.gz", plain / "CHARTEVENTS.csv"], int(counted.read_text())


def make_tables(patients: int, routine_events: float, folder: str) -> int:
    """Simulate a MIMIC-III folder; the number of its chart events."""
    from workflow_scripts.sources.mimic_iii.parameters import SimulatorParameters
    from workflow_scripts.sources.mimic_iii.simulator import simulate_mimic

    parameters = SimulatorParameters(patients=patients, routine_events=routine_events)
    return simulate_mimic(parameters, Path(folder))["chartevents"]


def filtered(way: str, source: Path) -> harness.Cost:
    """What a way costs."""
    with tempfile.TemporaryDirectory() as folder:
        return harness.isolated(f"benchmarks.chart_filters:{way}", str(source), folder)[1]


def size_rows(zipped: bool, count: int, costs: dict[str, harness.Cost]) -> list[dict[str, Any]]:
    """All ways on one file; the ratios are to the first way."""
    first = next(iter(costs.values()))
    kind = "gzipped" if zipped else "plain"
    return [
        {
            "rows": count,
            "file": kind,
            "way": way,
            **cost.row(),
            "wall ratio": cost.wall / first.wall,
            "CPU ratio": cost.cpu / first.cpu,
        }
        for way, cost in costs.items()
    ]


def full_table(rows: list[dict[str, Any]]) -> list[harness.Row]:
    """Minutes for the whole release."""
    found = []
    for way, kind in dict.fromkeys((row["way"], row["file"]) for row in rows):
        own = [row for row in rows if (row["way"], row["file"]) == (way, kind)]
        first, last = (pick(own, key=lambda row: row["rows"]) for pick in (min, max))
        share = (FULL_ROWS - first["rows"]) / (last["rows"] - first["rows"])
        minutes = {
            f"{name}, minutes": (first[f"{name} s"] + share * (last[f"{name} s"] - first[f"{name} s"])) / 60
            for name in ("wall", "CPU")
        }
        found.append({"file": kind, "way": way, **minutes})
    return found


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw wall seconds, CPU seconds and memory against rows; plain files dashed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams |= {"svg.hashsalt": "extract", "svg.fonttype": "none"}
    figure, panels = pyplot.subplots(1, 3, figsize=(12, 4), layout="constrained")
    for panel, column in zip(panels, ("wall s", "CPU s", "peak MiB"), strict=True):
        for way, kind in dict.fromkeys((row["way"], row["file"]) for row in rows):
            own = [row for row in rows if (row["way"], row["file"]) == (way, kind)]
            sizes, values = [row["rows"] / 1e6 for row in own], [row[column] for row in own]
            style = "-o" if kind == "gzipped" else "--s"
            panel.plot(
                sizes, values, style, color=f"C{WAYS.index(way)}", label=f"{way}, {kind}", markersize=4
            )
        panel.set(xscale="log", yscale="log", xlabel="million rows of CHARTEVENTS", ylabel=column)
        panel.grid(alpha=0.3)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize="small"
    )
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def simulate(
    patients: Annotated[list[int], Option(help="size of the simulation, once for each")] = (400, 1600),
    routine_events: Annotated[list[float], Option(help="rows that no study reads for each other row")] = (
        0,
        4.7,
    ),
    output: harness.Output = None,
) -> None:
    """Time the simulator: gzipped chart events a second, all other tables and start-up included."""
    harness.print_about("each size once")
    rows = []
    for routine in routine_events:
        for number in patients:
            with tempfile.TemporaryDirectory() as folder:
                count, cost = harness.isolated("benchmarks.data:make_tables", number, routine, folder)
            speeds = {"a second": count / cost.wall, "a CPU second": count / cost.cpu}
            rows.append(
                {"patients": number, "routine events": routine, "chart events": count, **speeds, **cost.row()}
            )
    harness.report({"The simulator": rows}, output)


app = harness.command_line(extract, simulate)

if __name__ == "__main__":
    harness.run(app)
