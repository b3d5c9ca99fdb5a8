"""Pins, hashes and the page on dependencies say the same."""

import re
from pathlib import Path

import pytest

from workflow_scripts.models.registry import VARIANTS
from workflow_scripts.steps.document_reference import (
    ENVIRONMENTS,
    PIN_FILES,
    licence_of,
    pins,
)

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
REMEDY = "run python -m workflow_scripts.steps.document_reference"
HASHES = (ENVIRONMENTS / "hashes.txt").read_text(encoding="utf-8")


def canonical(package: str) -> str:
    """A package's name as the index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", package).lower()


def test_the_hashed_packages_are_the_pinned_ones_without_torch():
    pinned = {canonical(name): version for file in PIN_FILES for name, version in pins(file).items()}
    del pinned["torch"]
    hashed = {
        canonical(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", HASHES, re.MULTILINE)
    }
    assert hashed == pinned, "docs/dependencies.md says how to write envs/hashes.txt anew"


def test_every_hashed_package_has_a_sha256_and_no_address():
    entries = re.split(r"\n(?=\w)", HASHES.strip())
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
    assert "://" not in HASHES


def test_every_pinned_package_is_on_the_page_beside_its_licence():
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE))
    listed = {name.strip("*"): licence for licence, names in rows.items() for name in names.split(", ")}
    pinned = [name for file in PIN_FILES for name in pins(file)]
    assert {name: listed.get(name) for name in pinned} == {name: licence_of(name) for name in pinned}, REMEDY


@pytest.mark.parametrize(
    ("package", "licence"),
    [("numpy", "BSD"), ("torch", "BSD"), ("duckdb", "MIT"), ("snakemake", "MIT"), ("pygit2", "GPL")],
)
def test_known_licences_are_read(package: str, licence: str):
    assert licence in licence_of(package)


def test_every_model_s_licence_stands_on_the_page():
    assert all(f"| {variant.family} | {variant.licence} |" in PAGE for variant in VARIANTS.values())
