"""The files of a MEDS data set."""

from pathlib import Path

from workflow_scripts.runtime.errors import UserError


def shard_files(raw: Path) -> list[Path]:
    """Return the Parquet files of the folder `data`, sorted. Raises UserError where there is none."""
    files = sorted(path for path in (raw / "data").rglob("*.parquet") if path.is_file())
    if not files:
        raise UserError(
            str(raw),
            "no data/**/*.parquet" if raw.is_dir() else "no such folder",
            "a MEDS data set: shards below data, and a folder metadata",
            "give the folder that holds data and metadata",
        )
    return files
