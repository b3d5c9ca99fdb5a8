"""Records of runs, compared apart from what was measured."""

from collections.abc import Collection
from typing import Any


def without(value: Any, names: Collection[str]) -> Any:
    """A record without the entries of these names, at whatever depth."""
    if isinstance(value, list):
        return [without(part, names) for part in value]
    if isinstance(value, dict):
        return {name: without(part, names) for name, part in value.items() if name not in names}
    return value
