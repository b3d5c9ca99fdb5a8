"""The table of variants: complete, consistent with the families' modules, and light to import."""

import subprocess
import sys

import pytest

from workflow_scripts.models.registry import FAMILY_CLASSES, VARIANTS, family_class, variant, variant_names
from workflow_scripts.runtime.errors import UserError

PUBLISHED = {
    *(f"chronos-t5-{size}" for size in ("tiny", "mini", "small", "base", "large")),
    *(f"moirai-{v}-R-{size}" for v in ("1.0", "1.1") for size in ("small", "base", "large")),
    "lag-llama",
}


def test_every_published_size_and_three_embedded_ones_are_listed() -> None:
    assert set(variant_names()) == PUBLISHED | {"chronos-t5-nano", "moirai-nano", "lag-llama-nano"}
    assert {name for name, entry in VARIANTS.items() if entry.hub_id} == PUBLISHED
    assert all(entry.name == name and entry.family in FAMILY_CLASSES for name, entry in VARIANTS.items())


def test_pinned_revisions_are_whole_commits() -> None:
    pinned = [entry.revision for entry in VARIANTS.values() if entry.revision]
    assert len(set(pinned)) == len(pinned)
    assert all(len(commit) == 40 and int(commit, 16) for commit in pinned)


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UserError, match=r"chronos-t5-tiny.*lag-llama"):
        variant("chronos-t5-huge")


def test_the_table_is_read_without_torch() -> None:
    program = (
        "import sys, workflow_scripts.models.registry;"
        "assert not {'torch', 'numpy', 'scipy', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", ["chronos-t5-nano", "moirai-nano", "lag-llama-nano"])
def test_embedded_models_are_far_below_a_million_parameters(name: str) -> None:
    entry = variant(name)
    module = family_class(entry.family).create(entry.sizes, 0).module
    assert sum(parameter.numel() for parameter in module.parameters()) < 600_000
