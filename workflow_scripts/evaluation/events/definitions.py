"""The bedside events: which condition on which vital sign, from definitions.yaml."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from workflow_scripts.evaluation.events.probabilities import probability_below

DEFINITIONS = Path(__file__).with_name("definitions.yaml")


@dataclass(frozen=True)
class Condition:
    """A comparison with a threshold, as `< 65`. sign: one of <, <=, > and >=."""

    sign: str
    threshold: float

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Read `< 65`. Raises ValueError for anything else than a comparison and a number."""
        found = re.fullmatch(r"(<=|>=|<|>) (-?[0-9.]+)", text)
        if not found:
            raise ValueError(f"{text!r} is no condition as '< 65'")
        return cls(found[1], float(found[2]))

    def __str__(self) -> str:
        return f"{self.sign} {self.threshold:g}"

    @property
    def is_low(self) -> bool:
        """Whether low values are the event."""
        return self.sign[0] == "<"

    def holds(self, values: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Where the values are in the event; NaN never is.

        Compared as float32, as values are stored: 38.3 as float32 is 38.29999924, which is below 38.3 as float64.
        """
        given, threshold = values.astype(np.float32, copy=False), np.float32(self.threshold)
        with np.errstate(invalid="ignore"):
            return np.asarray(
                {
                    "<": given < threshold,
                    "<=": given <= threshold,
                    ">": given > threshold,
                    ">=": given >= threshold,
                }[self.sign]
            )

    def probability(self, quantiles: NDArray[np.floating], levels: Sequence[float]) -> NDArray[np.float64]:
        """The probability of the event at each step, [N, H], from quantiles [N, levels, H]."""
        below = probability_below(
            quantiles, levels, np.float32(self.threshold), inclusive=self.sign in ("<=", ">")
        )
        return below if self.is_low else 1 - below


@dataclass(frozen=True)
class Event:
    """A bedside event. severe: further conditions, each stricter than `main`."""

    name: str
    vitals: tuple[str, ...]
    unit: str
    main: Condition
    severe: tuple[Condition, ...]
    source: str


@cache
def all_events() -> tuple[Event, ...]:
    """Every event, in the order of the file."""
    entries = yaml.safe_load(DEFINITIONS.read_text(encoding="utf-8"))
    return tuple(
        Event(
            name=name,
            vitals=tuple(entry["vitals"]),
            unit=entry["unit"],
            main=Condition.parse(entry["main"]),
            severe=tuple(Condition.parse(text) for text in entry["severe"]),
            source=entry["source"],
        )
        for name, entry in entries.items()
    )


def events_of(vital: str) -> tuple[Event, ...]:
    """The events that a vital sign shows; none of a vital sign without any."""
    return tuple(event for event in all_events() if vital in event.vitals)
