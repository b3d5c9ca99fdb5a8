"""The record of an adapter's evaluation on another cohort, record.json, as one typed model (docs/tables.md)."""

from workflow_scripts.evaluation.run_record import Record, RecordPart
from workflow_scripts.evaluation.transfer_plan import Transfer


class TransferKey(RecordPart):
    """What identifies a transfer."""

    dataset: str
    trained_on: str
    evaluated_on: str
    vital: str
    model: str
    arm: str
    seed: int


class TransferCounts(RecordPart):
    """Test windows and patients that are scored."""

    test_windows: int
    test_patients: int
    non_finite_windows: int


class TransferSeconds(RecordPart):
    """Wall-clock time; forecast has the loading of the model, total all of the process."""

    forecast: float
    total: float


class TransferMemory(RecordPart):
    """The peak of the process, MiB."""

    peak_host_mib: float


class TransferHashes(RecordPart):
    """own_windows: of the cohort that the adapter was trained on. adapter: None where it could not be trained.

    source: of the files from outside that the windows come from.
    """

    code: str
    source: str
    windows: str
    own_windows: str
    weights: str
    adapter: str | None
    forecasts: str


class TransferRecord(Record):
    """record.json, in <trained_on>/<evaluated_on>/<vital>/<model>/<arm>/seed<k>/."""

    WRITER = "evaluate_transfer"

    key: TransferKey
    counts: TransferCounts
    seconds: TransferSeconds
    memory: TransferMemory
    hashes: TransferHashes

    @property
    def job(self) -> Transfer:
        """The job of the study that it is of."""
        return Transfer(**self.key.model_dump(exclude={"dataset"}))

    @property
    def folder(self) -> tuple[str, ...]:
        """The last names of the folder that it is in."""
        *names, seed = vars(self.job).values()
        return (*names, f"seed{seed}")
