"""Reads the windows table into arrays; imports nothing heavier than numpy and pyarrow."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.identifiers import decode_identifiers, encode_identifiers

METADATA_KEY = b"vitalora"
WINDOW_SCHEMA = pa.schema(
    [
        ("window_id", pa.int64()),
        ("subject_id", pa.string()),
        ("icustay_id", pa.string()),
        ("start", pa.timestamp("us")),
        ("split", pa.string()),
        ("hours_from_onset", pa.float32()),
        ("steps_since_observed", pa.int64()),
        ("context", pa.list_(pa.float32())),
        ("target", pa.list_(pa.float32())),
        ("covariates", pa.list_(pa.float32())),
    ]
)
REMEDY = "make the file again with the window step (make_windows)"


@dataclass(frozen=True)
class Covariate:
    """Another vital sign whose past the windows carry: its unit, and what becomes 0 and 1 on the scaled series."""

    vital: str
    unit: str
    scale_low: float
    scale_high: float


@dataclass(frozen=True)
class WindowMetadata:
    """What holds for every window of a file.

    `unit`, `scale_low` and `scale_high` are the vital sign's natural unit and the two values that become 0
    and 1 on the scaled series; `context` and `horizon` are lengths in grid steps of `interval_minutes`;
    `covariates` are the other vital signs, in the order of `Windows.covariates`; `fill` and `smoothing` are the
    settings of those names; `stratified_by` is what is as frequent in every split (sources/contract.py, STRATA);
    `subject_kind` is what is never in two splits: a patient, or an admission or a stay where patients are not known;
    `source` is the fingerprint of the files from outside that the windows come from (SHA-256; empty where untold).
    """

    vital: str
    unit: str
    scale_low: float
    scale_high: float
    interval_minutes: int
    context: int
    horizon: int
    split_kind: str
    covariates: tuple[Covariate, ...] = ()
    fill: str = "forward"
    smoothing: str = "none"
    stratified_by: str = "died_in_hospital"
    subject_kind: str = "patient"
    source: str = ""

    def to_json(self) -> bytes:
        """Return the metadata as the schema's JSON value."""
        return json.dumps(asdict(self), sort_keys=True).encode()


@dataclass(frozen=True)
class Windows:
    """N windows in the order of `window_id`; values in natural units, NaN where nothing was observed.

    context: float32 [N, metadata.context]; target: float32 [N, metadata.horizon]; covariates: float32 [N, K,
    metadata.context], other vital signs over the context's steps; start: int64 [N], seconds since 1970 of the
    context's first step (in the data's own calendar); split: str [N], one of train, validation and test;
    hours_from_onset: float32 [N], hours from the cohort's onset to the end of the context (negative before the
    onset), NaN where there is none; steps_since_observed: int64 [N], grid steps from the last charted one to the
    context's last, 0 where that one is charted; window_id: int64 [N]; subject_id,
    icustay_id: str [N].
    """

    context: np.ndarray
    target: np.ndarray
    covariates: np.ndarray
    start: np.ndarray
    split: np.ndarray
    hours_from_onset: np.ndarray
    steps_since_observed: np.ndarray
    window_id: np.ndarray
    subject_id: np.ndarray
    icustay_id: np.ndarray
    metadata: WindowMetadata

    def __len__(self) -> int:
        return len(self.window_id)

    def select(self, split: str) -> "Windows":
        """Return the windows of one split (train, validation or test), in order; it may be none."""
        chosen = self.split == split
        return replace(
            self,
            context=self.context[chosen],
            target=self.target[chosen],
            covariates=self.covariates[chosen],
            start=self.start[chosen],
            split=self.split[chosen],
            hours_from_onset=self.hours_from_onset[chosen],
            steps_since_observed=self.steps_since_observed[chosen],
            window_id=self.window_id[chosen],
            subject_id=self.subject_id[chosen],
            icustay_id=self.icustay_id[chosen],
        )

    def scaled(self) -> "Windows":
        """Return the same windows with (value - scale_low) / (scale_high - scale_low); NaN stays NaN.

        Each vital sign has its own range.
        """
        metadata = self.metadata
        return replace(
            self,
            context=_scaled(self.context, metadata),
            target=_scaled(self.target, metadata),
            covariates=np.stack(
                [_scaled(self.covariates[:, place], each) for place, each in enumerate(metadata.covariates)],
                axis=1,
            )
            if metadata.covariates
            else self.covariates,
        )


def _scaled(values: np.ndarray, scale: WindowMetadata | Covariate) -> np.ndarray:
    return (values - np.float32(scale.scale_low)) / np.float32(scale.scale_high - scale.scale_low)


def read_windows(path: Path, splits: tuple[str, ...] = ("train", "validation", "test")) -> Windows:
    """Return the windows of a file that `make_windows` wrote, and of these splits only.

    Windows of other splits never reach the caller: what trains is given nothing of the test split.

    Raises UserError where the file is no readable Parquet, lacks a column or the metadata, or where the
    lengths of context, target or covariates differ from the metadata.
    """
    table = _read_table(path)
    table = table.filter(pc.is_in(table["split"], pa.array(splits)))
    metadata = _read_metadata(path, table.schema)
    count = len(metadata.covariates)
    covariates = _matrix(path, table, "covariates", count * metadata.context)
    return Windows(
        context=_matrix(path, table, "context", metadata.context),
        target=_matrix(path, table, "target", metadata.horizon),
        covariates=covariates.reshape(len(table), count, metadata.context),
        start=table["start"].cast(pa.timestamp("s"), safe=False).cast(pa.int64()).to_numpy().copy(),
        split=table["split"].to_numpy(zero_copy_only=False).astype(str),
        hours_from_onset=table["hours_from_onset"].to_numpy(),
        steps_since_observed=table["steps_since_observed"].to_numpy(),
        window_id=table["window_id"].to_numpy(),
        subject_id=decode_identifiers(encode_identifiers(table["subject_id"])),
        icustay_id=decode_identifiers(encode_identifiers(table["icustay_id"])),
        metadata=metadata,
    )


def _read_table(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(
            str(path), type(error).__name__, "a readable Parquet file of windows", REMEDY
        ) from None
    wrong = [
        field.name
        for field in WINDOW_SCHEMA
        if field.name not in table.column_names
        or _plain(table.schema.field(field.name).type) != _plain(field.type)
        or table[field.name].null_count
    ]
    if wrong:
        raise UserError(
            str(path),
            f"missing, ill-typed or incomplete columns: {', '.join(wrong)}",
            f"the columns {', '.join(WINDOW_SCHEMA.names)} with the types of the architecture document",
            REMEDY,
        )
    return table.sort_by("window_id")


def _plain(kind: pa.DataType) -> str:
    """Return the type without the name that a writer gave to a list's items."""
    return f"list<{kind.value_type}>" if pa.types.is_list(kind) else str(kind)


def _read_metadata(path: Path, schema: pa.Schema) -> WindowMetadata:
    stored = (schema.metadata or {}).get(METADATA_KEY)
    expected = (
        f"the schema metadata '{METADATA_KEY.decode()}' with {', '.join(WindowMetadata.__annotations__)}"
    )
    if stored is None:
        raise UserError(str(path), "no metadata", expected, REMEDY)
    try:
        values: dict[str, Any] = json.loads(stored)
        covariates = tuple(Covariate(**covariate) for covariate in values.pop("covariates"))
        return WindowMetadata(**values, covariates=covariates)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(str(path), "metadata of another form", expected, REMEDY) from None


def _matrix(path: Path, table: pa.Table, column: str, length: int) -> np.ndarray:
    """Return a list column as float32 [N, length]."""
    lists = table[column].combine_chunks()
    lengths = np.asarray(lists.value_lengths())
    if (lengths != length).any():
        found = f"{column} with {lengths.min()} to {lengths.max()} steps"
        raise UserError(str(path), found, f"{length} steps in every window, as the metadata says", REMEDY)
    values = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return values.reshape(len(table), length)
