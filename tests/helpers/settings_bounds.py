"""What a group of settings accepts at the bounds of a setting, for the tests of every room's settings."""

from typing import Any

import pytest
from pydantic import ValidationError

from workflow_scripts.runtime.parameters import Parameters


def assert_bound(group: type[Parameters], name: str, last: Any, beyond: Any) -> None:
    """The last value is taken as it is; the one beyond it is refused with the setting's name."""
    assert getattr(group.model_validate({name: last}), name) == last
    with pytest.raises(ValidationError) as refused:
        group.model_validate({name: beyond})
    assert [problem["loc"] for problem in refused.value.errors()] == [(name,)]
