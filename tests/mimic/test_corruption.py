"""Seeded damage to a tiny folder: whatever it is, extraction works or ends with one UserError."""

import gzip
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_folder import SMALL, chart_row

from workflow_scripts.mimic.extraction import extract_events
from workflow_scripts.mimic.parameters import ExtractionParameters
from workflow_scripts.runtime.errors import UserError

INSERTIONS = [
    b'"',
    b",",
    b"\n",
    b"\r\n",
    b"\x00",
    b"NaN",
    b"1e999",
    b"-9223372036854775809",
    b'""',
    b"\xff\xfe",
]


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Overwrite, remove, insert, cut or repeat something at a random place."""
    place = chance.randrange(len(content))
    before, after = content[:place], content[place:]
    return chance.choice(
        [
            before + bytes([chance.randrange(256)]) + after[1:],
            before + after[chance.randrange(1, 30) :],
            before + chance.choice(INSERTIONS) + after,
            before,
            before + after + after,
        ]
    )


@pytest.mark.parametrize("seed", range(80))
def test_damage_ends_in_a_result_or_in_one_error_with_nothing_left(
    write_folder: Callable[..., Path], seed: int
) -> None:
    chance = random.Random(seed)
    zipped = chance.random() < 0.5
    hours = [chart_row(charttime=f"2100-01-01 {hour:02}:00:00", value="Arm, Left") for hour in range(20)]
    raw = write_folder(chartevents=hours, zipped=zipped)
    table = chance.choice([*SMALL, "chartevents"])
    path = raw / f"{table.upper()}.csv{'.gz' if zipped else ''}"
    content = path.read_bytes()
    if zipped and chance.random() < 0.5:
        content = gzip.compress(damaged(gzip.decompress(content), chance), mtime=0)
    else:
        content = damaged(content, chance)
    path.write_bytes(content)
    events = raw.parent / "events"
    error, counts = None, {}
    try:
        counts = extract_events(raw, events, ExtractionParameters())["vitals"]
    except UserError as raised:
        error = raised
    if error is not None:
        assert table.upper() in error.where
        assert list(events.iterdir()) == []
    else:
        dropped = sum(count for name, count in counts.items() if name.startswith("dropped"))
        assert counts["read"] == counts["kept"] - counts["derived"] + dropped
