"""How counts and shares of patients' data are told: a small count is hidden, as in the report."""

import numpy as np

SMALLEST_GROUP = 11
"""Fewer patients are no group of their own: the usual rule for tables of health data (CMS cell size policy)."""


def few(count: int) -> str:
    """Return a count; a small one is not told."""
    return f"fewer than {SMALLEST_GROUP}" if 0 < count < SMALLEST_GROUP else f"{count:,}"


def share(holds: np.ndarray) -> str:
    """Return how many hold, of all, with the share; small counts and what reveals them are hidden. holds: bool [N]."""
    count, total = int(holds.sum()), len(holds)
    if 0 < count < SMALLEST_GROUP:
        return f"{few(count)} of {few(total)}"
    if 0 < total - count < SMALLEST_GROUP:
        return f"all but {few(total - count)} of {few(total)}"
    return f"{count:,} of {total:,} ({count / total:.1%})"
