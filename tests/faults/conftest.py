"""The undisturbed study, made once; the marker `faults` chooses the full catalogue."""

import pytest
from shared_studies import Undisturbed, undisturbed_study


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the full catalogue to those who ask for it (`-m faults`, or `make faults`)."""
    if "faults" in config.option.markexpr:
        return
    full = [item for item in items if item.get_closest_marker("faults")]
    if full:
        config.hook.pytest_deselected(items=full)
        items[:] = [item for item in items if item not in full]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The undisturbed study, made once."""
    return undisturbed_study(tmp_path_factory)
