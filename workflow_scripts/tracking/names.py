"""Names in MLflow: of runs, sweeps and settings, from a run's key.

A run's key is {dataset, cohort, vital, model, arm, seed}; a sweep's key is the same without arm and seed.
"""

import json
from collections.abc import Mapping

KEY = "vitalora.key"
PROCESS = "vitalora.process"
REASON = "vitalora.reason"
RECORD = "vitalora.record"
"""Tag: SHA-256 of the run.json that MLflow shows. It is set last, so a run that has it is complete."""
SUPERSEDED_BY = "vitalora.superseded_by"
KIND = "kind"
"""Tag: `run` or `sweep`."""

DESCRIPTION = "mlflow.note.content"
PARENT = "mlflow.parentRunId"

OWN_PARTS = ("arm", "seed")
"""What tells the runs of one sweep apart."""

Key = Mapping[str, object]


def key_text(key: Key) -> str:
    """The key as one text, by which a run is found again."""
    text = "/".join(f"{name}={value}" for name, value in sorted(key.items()))
    if "'" in text:
        raise ValueError("a run's key must not hold quotes")
    return text


def sweep_key(key: Key) -> dict[str, object]:
    """The key of the sweep that a run belongs to."""
    return {name: value for name, value in key.items() if name not in OWN_PARTS}


def run_name(key: Key) -> str:
    """`lora-r4, seed 0`, shown below the name of its sweep."""
    return ", ".join(
        f"{name} {key[name]}" if name == "seed" else str(key[name]) for name in OWN_PARTS if name in key
    )


def sweep_name(key: Key) -> str:
    """`chronos-t5-nano · heart rate · sepsis3`."""
    return " · ".join(plain(key[name]) if name == "vital" else str(key[name]) for name in _SWEEP_PARTS)


_SWEEP_PARTS = ("model", "vital", "cohort")


def plain(name: object) -> str:
    """A name from the settings in plain words: `heart rate`."""
    return str(name).replace("_", " ")


def texts(values: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Flatten nested values into dotted names and texts; None is left out."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(texts(value, f"{prefix}{name}."))
        elif value is not None:
            flat[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value, default=str)
    return flat
