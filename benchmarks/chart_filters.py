"""Ways to filter a CHARTEVENTS file, each called in a process of its own: a file, and a folder for what is kept.

`igzip` and `zcat` only decompress. `polars`, `duckdb` and `pandas` keep the rows and columns that the study needs,
with types, as Parquet. `vitalora` does its whole extraction of CHARTEVENTS: the same filter, and besides it
units, plausible ranges, duplicates, inconsistent pressures, the derived mean pressure, and sorting.
"""

import subprocess
from pathlib import Path

from workflow_scripts.sources.mimic_iii.items import clinical_itemids, load_vital_signs
from workflow_scripts.sources.mimic_iii.tables import TABLES

ITEMS = sorted(
    {*clinical_itemids("chartevents"), *(i.itemid for c in load_vital_signs().values() for i in c.items)}
)
COLUMNS = ["SUBJECT_ID", "HADM_ID", "ICUSTAY_ID", "CHARTTIME", "ITEMID", "VALUE", "VALUENUM", "ERROR"]
KINDS = {name.upper(): kind for name, kind in TABLES["chartevents"].items()}
_BLOCK = 4 << 20


def igzip(source: str, _: str) -> None:
    from isal import igzip

    with igzip.open(source, "rb") if source.endswith(".gz") else Path(source).open("rb") as stream:
        while stream.read(_BLOCK):
            pass


def zcat(source: str, _: str) -> None:
    command = "zcat" if source.endswith(".gz") else "cat"
    subprocess.run([command, source], stdout=subprocess.DEVNULL, check=True)


def vitalora(source: str, folder: str) -> None:
    import pyarrow as pa

    from workflow_scripts.sources.mimic_iii.extraction import split_chart
    from workflow_scripts.sources.mimic_iii.parameters import ExtractionParameters
    from workflow_scripts.sources.mimic_iii.reading import stream_table
    from workflow_scripts.sources.mimic_iii.tables import find_table
    from workflow_scripts.sources.mimic_iii.vital_rows import StayIndex

    columns = ["subject_id", "hadm_id", "icustay_id"]
    stays = stream_table(find_table(Path(source).parent, "icustays"), "icustays", columns)
    split_chart(Path(source), StayIndex(pa.Table.from_batches(stays)), ExtractionParameters(), Path(folder))


def polars(source: str, folder: str) -> None:
    import polars as pl

    types = {"integer": pl.Int64, "number": pl.Float64, "text": pl.String, "time": pl.String}
    rows = pl.scan_csv(source, schema={name: types[kind] for name, kind in KINDS.items()})
    rows = rows.filter(pl.col("ITEMID").is_in(ITEMS)).select(COLUMNS)
    rows = rows.with_columns(pl.col("CHARTTIME").str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us"))
    rows.sink_parquet(Path(folder) / "rows.parquet", compression="zstd", engine="streaming")


def duckdb(source: str, folder: str) -> None:
    import duckdb

    types = {"integer": "bigint", "number": "double", "text": "varchar", "time": "timestamp"}
    columns = {name: types[kind] for name, kind in KINDS.items()}
    read = (
        f"read_csv('{source}', header = true, delim = ',', quote = '\"', escape = '\"', columns = {columns})"
    )
    query = f"select {', '.join(COLUMNS)} from {read} where ITEMID in ({', '.join(map(str, ITEMS))})"
    duckdb.execute(f"copy ({query}) to '{folder}/rows.parquet' (format parquet, compression zstd)")


def pandas(source: str, folder: str) -> None:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"integer": "Int64", "number": "float64", "text": "string", "time": "string"}
    dtype = {name: types[KINDS[name]] for name in COLUMNS}
    writer = None
    for chunk in pd.read_csv(source, usecols=COLUMNS, dtype=dtype, chunksize=1_000_000):
        rows = chunk.loc[chunk["ITEMID"].isin(ITEMS), COLUMNS]
        rows = rows.assign(CHARTTIME=rows["CHARTTIME"].astype("datetime64[us]"))
        table = pa.Table.from_pandas(rows, preserve_index=False)
        writer = writer or pq.ParquetWriter(Path(folder) / "rows.parquet", table.schema, compression="zstd")
        writer.write_table(table)
    if writer:
        writer.close()
