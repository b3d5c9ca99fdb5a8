"""Progress of a long loop: a bar on a terminal, a few plain lines in a log."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, Generic, TextIO, TypeVar

Item = TypeVar("Item")

PARTS = 10
"""Lines in a log: one for each tenth of the work."""

SECONDS_BETWEEN_LINES = 30.0
"""Where the amount of work is unknown, one line after this time."""


def progress(
    iterable: Iterable[Item],
    description: str,
    total: int | None = None,
    unit: str = "step",
    stream: TextIO | None = None,
) -> "Progress[Item]":
    """Wrap an iterable so that iterating over it shows how far it is, on standard error.

    Args:
        iterable: what to iterate over.
        description: what is going on, as the user would say it.
        total: number of items; by default the iterable's length, where it has one.
        unit: what one item is called.
        stream: where to write instead of standard error.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    return Progress(iterable, description, total, unit, stream or sys.stderr)


class Progress(Generic[Item]):
    """See `progress`."""

    def __init__(
        self, iterable: Iterable[Item], description: str, total: int | None, unit: str, stream: TextIO
    ) -> None:
        self._iterable, self._total, self._stream = iterable, total, stream
        self._description, self._unit = description, unit
        self._loss: float | None = None
        self._bar: Any = None

    def show_loss(self, loss: float) -> None:
        """Show the latest loss beside the progress."""
        self._loss = loss
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{loss:.4g}", refresh=False)

    def __iter__(self) -> Iterator[Item]:
        return self._iterate_with_bar() if self._stream.isatty() else self._iterate_with_lines()

    def _iterate_with_bar(self) -> Iterator[Item]:
        from tqdm import tqdm

        self._bar = tqdm(
            total=self._total, desc=self._description, unit=f" {self._unit}", file=self._stream, leave=True
        )
        with self._bar as bar:
            for item in self._iterable:
                yield item
                bar.update()

    def _iterate_with_lines(self) -> Iterator[Item]:
        begun = shown_at = time.monotonic()
        done = shown = 0
        try:
            for item in self._iterable:
                yield item
                done += 1
                now = time.monotonic()
                if self._is_due(done, shown, now - shown_at):
                    shown, shown_at = done, now
                    self._print(done, now - begun)
        finally:
            # A loop that is left early, or whose length was unknown, still says how far it came.
            if done != shown:
                self._print(done, time.monotonic() - begun)

    def _is_due(self, done: int, shown: int, seconds: float) -> bool:
        if self._total:
            return done * PARTS // self._total > shown * PARTS // self._total
        return seconds >= SECONDS_BETWEEN_LINES

    def _print(self, done: int, seconds: float) -> None:
        share = f" of {self._total} ({100 * done // self._total} %)" if self._total else ""
        loss = "" if self._loss is None else f", loss {self._loss:.4g}"
        line = f"{self._description}: {self._unit} {done}{share}{loss}, {seconds:.1f} s"
        print(line, file=self._stream, flush=True)
