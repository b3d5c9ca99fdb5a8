"""Identifiers as the product has them in memory."""

from collections.abc import Iterable

import numpy as np


def as_names(numbers: Iterable[int]) -> np.ndarray:
    """Numbers as identifiers: an array of str."""
    return np.array([str(number) for number in numbers], dtype=object)
