"""Time and memory of reading a MEDS data set, against its rows.

Each size is so many copies of the open MIMIC-IV demo, each with subjects and shards of its own; it is written to a
temporary folder first. 100 copies have 92 million events and need 0.4 GB of disk.

    python -m benchmarks.meds --raw ../shared/data/meds-demo --copies 1 --copies 10 --copies 100 --output meds.md
"""

import tempfile
from pathlib import Path
from typing import Annotated

from typer import Option

from benchmarks import harness

SUBJECTS_APART = 100_000_000
"""Between the subjects of two copies; those of MIMIC-IV have eight digits and begin with 1."""


def meds(
    raw: Annotated[Path, Option(help="the open MIMIC-IV demo in MEDS")],
    copies: Annotated[list[int], Option(help="how many times the demo, once for each size")] = (1, 10, 100),
    rounds: harness.Rounds = 1,
    output: harness.Output = None,
) -> None:
    """Read each size in a process of its own; the medians of the rounds, start-up included."""
    harness.print_about(f"medians of {rounds} rounds")
    rows = []
    for number in copies:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            events = copied(raw, folder / "raw", number)
            (folder / "read").mkdir()
            measured = [
                harness.isolated("benchmarks.meds:read", str(folder / "raw"), str(folder / "read"))
                for _ in range(rounds)
            ]
            counts = measured[0][0]
            cost = harness.median_cost([cost for _, cost in measured])
            rows.append(
                {
                    "copies": number,
                    "events": events,
                    "stays": counts["stays"],
                    "values": counts["values of vital signs"],
                    **cost.row(),
                    "million events a second": events / cost.wall / 1e6,
                }
            )
    harness.report({"Reading MEDS": rows}, output)


def copied(raw: Path, folder: Path, number: int) -> int:
    """Write so many copies of a data set with subjects of their own; return the number of events."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    (folder / "data").mkdir(parents=True)
    events = 0
    for shard in sorted(raw.glob("data/**/*.parquet")):
        table = pq.read_table(shard)
        subject = table["subject_id"]
        for copy in range(number):
            moved = pc.add(subject, pa.scalar(copy * SUBJECTS_APART))
            pq.write_table(
                table.set_column(table.column_names.index("subject_id"), "subject_id", moved),
                folder / "data" / f"{shard.stem}-{copy}.parquet",
            )
            events += len(table)
    return events


def read(raw: str, folder: str) -> dict[str, int]:
    """Read the two tables as the step read_source does; what was read."""
    from workflow_scripts.sources.parameters import SourceParameters
    from workflow_scripts.sources.source import source_of

    source = source_of("mimic-iv-demo", SourceParameters(path=raw))
    return dict(source.write_tables(Path(raw), Path(folder)))


app = harness.command_line(meds)

if __name__ == "__main__":
    harness.run(app)
