"""The pins stand in one place; everything that repeats them must agree."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

ENVIRONMENTS = Path(__file__).parents[2] / "envs"


def pins(name: str) -> dict[str, str]:
    lines = (ENVIRONMENTS / name).read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_the_conda_environment_names_the_same_pins():
    conda = yaml.safe_load((ENVIRONMENTS / "study.yaml").read_text())
    (packages,) = [entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)]
    assert dict(package.split("==") for package in packages) == pins("requirements.txt")


def test_the_conda_post_deploy_script_installs_the_same_packages_without_dependencies():
    script = (ENVIRONMENTS / "study.post-deploy.sh").read_text()
    (line,) = re.findall(r"--no-deps (.+)", script)
    assert dict(package.split("==") for package in line.split()) == pins("without_dependencies.txt")


@pytest.mark.parametrize("name", ["requirements.txt", "without_dependencies.txt"])
def test_the_installed_versions_are_the_pinned_ones(name):
    installed = {package: version(package).split("+")[0] for package in pins(name)}
    assert installed == pins(name)


def test_no_package_is_pinned_twice():
    assert not set(pins("requirements.txt")) & set(pins("constraints.txt"))
