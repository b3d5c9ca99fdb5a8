"""One events table on its way to disk: rows in large groups, counts in the metadata."""

import json
from collections import Counter
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

_ROW_GROUP_ROWS = 1 << 18


class EventsFile:
    """A Parquet file that is written batch by batch; `counts` end up in its metadata key `vitalora`."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.counts: Counter[str] = Counter()
        self._schema = schema
        self._pending: list[pa.RecordBatch] = []
        # The counts are known only at the end; without a stored Arrow schema, readers take the file's key and
        # values for the schema's metadata.
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", store_schema=False)

    def __enter__(self) -> "EventsFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._write_pending()
            self._writer.add_key_value_metadata({"vitalora": json.dumps({"counts": self.counts})})
        self._writer.close()

    def write(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Append rows of the file's schema."""
        self._pending += rows.to_batches() if isinstance(rows, pa.Table) else [rows]
        if sum(batch.num_rows for batch in self._pending) >= _ROW_GROUP_ROWS:
            self._write_pending()

    def _write_pending(self) -> None:
        rows = pa.Table.from_batches(self._pending, schema=self._schema)
        self._pending = []
        if rows.num_rows:
            self._writer.write_table(rows, row_group_size=_ROW_GROUP_ROWS)
