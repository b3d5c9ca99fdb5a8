"""A fixture that tries an action on many generated cases."""

import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from workflow_scripts.runtime.errors import UserError

QUICK, FULL = 60, 2400
HANGS = 300
"""Seconds after which a case is said to hang: thousands of times what one needs."""


def _hangs(*_: object) -> NoReturn:
    raise TimeoutError(f"no end within {HANGS} s")


@pytest.fixture(params=[QUICK, pytest.param(FULL, marks=pytest.mark.faults)], ids=["quick", "full"])
def attempt(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Callable[..., None]:
    """Try an action on generated cases; whatever is no UserError fails the test."""

    def run(strategy: st.SearchStrategy[Any], action: Callable[[Any], object], share: float = 1) -> None:
        tried = 0

        @seed(20240516)
        @settings(max_examples=int(share * request.param), database=None)
        @given(strategy)
        def check(case: Any) -> None:
            nonlocal tried
            tried += 1
            signal.alarm(HANGS)
            with suppress(UserError):
                action(case)

        signal.signal(signal.SIGALRM, _hangs)
        try:
            check()
        finally:
            signal.alarm(0)
        record_property("injected", tried)

    return run
