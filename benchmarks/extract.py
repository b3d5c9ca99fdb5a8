"""Time and memory of the extraction against rows, side by side with other tools and with decompression alone.

Simulates CHARTEVENTS of some percent of MIMIC-III's 330,712,483 rows, with as many rows that no study reads as in
the open demo, gzipped and plain. Each way of chart_filters.py runs in a process of its own, start-up included;
the ways take turns, so that a busy machine slows all of them. The median of the rounds is printed, and kept as
CSV; a figure shows it. 10 percent need 4 GB of disk. Needs envs/benchmarks.txt.

    python benchmarks/extract.py --percent 1 3 10 --rounds 3 --csv docs/figures/extract.csv \\
        --figure docs/figures/extract.svg
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.chart_filters import WAYS
from workflow_scripts.sources.mimic_iii.parameters import SimulatorParameters
from workflow_scripts.sources.mimic_iii.simulator import simulate_mimic

ROOT = Path(__file__).parents[1]
FULL_ROWS = 330_712_483
_ROWS_PER_PATIENT = 7_460
_ROUTINE_EVENTS = 4.7
_CONTENT = ["zipped", "rows", "way"]


def main() -> None:
    """Parse the arguments, simulate what is missing, run every way, print and keep the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--percent", type=float, nargs="+", default=[1, 3, 10], help="sizes of the tables")
    parser.add_argument("--rounds", type=int, default=3, help="how often every way runs")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--once", nargs="*", default=[], help="slow ways that run in the first round alone")
    parser.add_argument("--folder", type=Path, help="where simulated tables are, and stay")
    parser.add_argument("--csv", type=Path, help="file for the medians")
    parser.add_argument("--figure", type=Path, help="file for the figure (SVG or PNG)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        sizes = {percent: simulated(folder, percent) for percent in options.percent}
        runs = [
            {"rows": rows, "zipped": path.suffix == ".gz", "round": turn, **measured(way, path)}
            for percent, (paths, rows) in sizes.items()
            for turn in range(options.rounds)
            for path in paths
            for way in options.ways
            if turn == 0 or way not in options.once
        ]
    medians = pd.DataFrame(runs).groupby(_CONTENT, as_index=False).median(numeric_only=True)
    medians = medians.drop(columns="round")
    print_medians(medians)
    if options.csv:
        options.csv.parent.mkdir(parents=True, exist_ok=True)
        medians.to_csv(options.csv, index=False, float_format="%.3f")
    if options.figure:
        draw(medians, options.figure)


def simulated(folder: Path, percent: float) -> tuple[list[Path], int]:
    """Return the gzipped and the plain CHARTEVENTS of a size, and their rows; made where they are missing."""
    patients = max(20, round(FULL_ROWS * percent / 100 / _ROWS_PER_PATIENT))
    zipped, plain = (folder / f"{percent:g}-percent-{kind}" for kind in ("gzip", "plain"))
    counted = zipped / "rows.txt"
    if not counted.exists():
        zipped.mkdir(parents=True, exist_ok=True)
        parameters = SimulatorParameters(patients=patients, routine_events=_ROUTINE_EVENTS)
        counted.write_text(str(simulate_mimic(parameters, zipped)["chartevents"]), encoding="utf-8")
    if not plain.exists():
        plain.mkdir()
        shutil.copy(zipped / "ICUSTAYS.csv.gz", plain)
        with (plain / "CHARTEVENTS.csv").open("wb") as file:
            subprocess.run(["zcat", str(zipped / "CHARTEVENTS.csv.gz")], stdout=file, check=True)
    return [zipped / "CHARTEVENTS.csv.gz", plain / "CHARTEVENTS.csv"], int(counted.read_text())


def measured(way: str, source: Path) -> dict[str, str | float]:
    """Run a way; return its wall and CPU seconds and its largest memory."""
    with tempfile.TemporaryDirectory() as output:
        command = [sys.executable, str(ROOT / "benchmarks/chart_filters.py"), way, str(source), output]
        begun = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            peak = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - begun
    if process.returncode:
        raise SystemExit(f"error: {way} failed on {source.name}; see its messages above")
    result = {"wall_seconds": wall, "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_mib": float(peak)}
    print(f"{source.parent.name} {way}: {result} load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return {"way": way, **result, "load": os.getloadavg()[0]}


def print_medians(medians: pd.DataFrame) -> None:
    """Print the medians with the ratio to fast decompression, and the full table's time by a straight line."""
    print(f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB")
    for (zipped, rows), group in medians.groupby(["zipped", "rows"]):
        table = group.set_index("way")[["wall_seconds", "cpu_seconds", "peak_mib", "load"]]
        for seconds in ("wall_seconds", "cpu_seconds"):
            table[f"{seconds.split('_')[0]}_ratio"] = table[seconds] / table.loc["igzip", seconds]
        print(f"\n{rows:,} rows, {'gzipped' if zipped else 'plain'}\n{table.round(2).to_string()}")
    print(f"\n{FULL_ROWS:,} rows by the straight line through the smallest and the largest size, minutes:")
    for (zipped, way), group in medians.groupby(["zipped", "way"]):
        first, last = group.loc[group["rows"].idxmin()], group.loc[group["rows"].idxmax()]
        if first["rows"] == last["rows"]:
            continue
        share = (FULL_ROWS - first["rows"]) / (last["rows"] - first["rows"])
        minutes = [(first[s] + share * (last[s] - first[s])) / 60 for s in ("wall_seconds", "cpu_seconds")]
        kind = "gzipped" if zipped else "plain"
        print(f"{kind:<8}{way:<10}wall {minutes[0]:6.1f}   CPU {minutes[1]:6.1f}")


def draw(medians: pd.DataFrame, path: Path) -> None:
    """Draw wall seconds, CPU seconds and memory against rows; plain files dashed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams |= {"svg.hashsalt": "extract", "svg.fonttype": "none"}
    figure, panels = pyplot.subplots(1, 3, figsize=(12, 4), layout="constrained")
    labels = {"wall_seconds": "wall seconds", "cpu_seconds": "CPU seconds", "peak_mib": "largest memory, MiB"}
    for panel, (column, label) in zip(panels, labels.items(), strict=True):
        for number, way in enumerate(WAYS):
            for zipped, style in ((True, "-o"), (False, "--s")):
                rows = medians[(medians["way"] == way) & (medians["zipped"] == zipped)]
                name = f"{way}{'' if zipped else ', plain file'}"
                panel.plot(rows["rows"], rows[column], style, color=f"C{number}", label=name, markersize=4)
        panel.set(xscale="log", yscale="log", xlabel="million rows of CHARTEVENTS", ylabel=label)
        sizes = sorted(medians["rows"].unique())
        panel.set_xticks(sizes, [f"{size / 1e6:.3g}" for size in sizes])
        panel.set_xticks([], minor=True)
        panel.grid(alpha=0.3)
    panels[2].axhline(2048, color="black", linewidth=1, linestyle=":")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize="small"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
