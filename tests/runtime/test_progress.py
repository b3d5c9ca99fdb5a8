"""Progress on a terminal and in a log."""

import io
import os
import pty
import re
import select

from workflow_scripts.runtime.progress import progress


def test_a_log_gets_one_line_for_each_tenth() -> None:
    log = io.StringIO()
    assert list(progress(range(200), "training", stream=log)) == list(range(200))
    lines = log.getvalue().splitlines()
    assert len(lines) == 10
    assert re.fullmatch(r"training: step 20 of 200 \(10 %\), \d+\.\d s", lines[0])
    assert lines[-1].startswith("training: step 200 of 200 (100 %)")


def test_a_short_loop_gets_a_line_for_each_item() -> None:
    log = io.StringIO()
    list(progress("abc", "reading", unit="table", stream=log))
    assert [line.split(",")[0] for line in log.getvalue().splitlines()] == [
        "reading: table 1 of 3 (33 %)",
        "reading: table 2 of 3 (66 %)",
        "reading: table 3 of 3 (100 %)",
    ]


def test_the_latest_loss_is_in_the_line() -> None:
    log = io.StringIO()
    steps = progress(range(10), "training", stream=log)
    for step in steps:
        steps.show_loss(1 / (step + 1))
    assert "step 10 of 10 (100 %), loss 0.1," in log.getvalue()


def test_a_loop_left_early_says_how_far_it_came() -> None:
    log = io.StringIO()
    for step in progress(range(100), "training", stream=log):
        if step == 14:
            break
    assert [line.split(" (")[0] for line in log.getvalue().splitlines()] == [
        "training: step 10 of 100",
        "training: step 14 of 100",
    ]


def test_an_unknown_amount_ends_with_a_count() -> None:
    log = io.StringIO()
    list(progress(iter(range(5)), "reading", unit="row group", stream=log))
    assert re.fullmatch(r"reading: row group 5, \d+\.\d s\n", log.getvalue())


def test_a_terminal_gets_a_bar() -> None:
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w") as terminal:
        steps = progress(range(3), "training", stream=terminal)
        for _ in steps:
            steps.show_loss(0.25)
        shown = _read_until(reader, "3/3")
    os.close(reader)
    assert "3/3" in shown
    assert "loss=0.25" in shown


def _read_until(reader: int, awaited: str) -> str:
    """What a terminal was shown; one read may return only the first of several writes."""
    shown = ""
    while awaited not in shown and select.select([reader], [], [], 5.0)[0]:
        shown += os.read(reader, 10_000).decode()
    return shown
