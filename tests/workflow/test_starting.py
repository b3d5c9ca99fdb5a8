"""Any way of starting works: the environment not activated, another folder, spaces in paths, conda."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.projects import TINY_STUDY, copy_project

pytestmark = pytest.mark.workflow

SNAKEMAKE = Path(sys.executable).with_name("snakemake")
TABLES = "data/raw/simulated/PATIENTS.csv.gz"


def start(folder: Path, *arguments: str, **variables: str) -> str:
    """Start Snakemake by its path, in an environment that holds nothing but these variables and a bare PATH."""
    done = subprocess.run(
        [str(SNAKEMAKE), "--cores", "1", *arguments],
        cwd=folder,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def project_in(folder: Path) -> Path:
    """The project in a folder, with a package that notes where it is imported from, and by which Python."""
    package = copy_project(folder, TINY_STUDY) / "workflow_scripts/__init__.py"
    note = 'import sys\n\nprint("imported by", sys.executable, "from", __file__, file=sys.stderr)\n'
    package.write_text(f"{package.read_text()}\n{note}", encoding="utf-8")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project in a folder whose name has spaces."""
    return project_in(tmp_path / "a project of mine")


def assert_imported(log: Path, folder: Path) -> None:
    """A step has noted that it was imported from a folder, by the Python of the environment of these tests."""
    (line,) = (line for line in log.read_text().splitlines() if line.startswith("imported by"))
    python, _, module = line.removeprefix("imported by ").partition(" from ")
    assert Path(python).parent == SNAKEMAKE.parent
    assert module == f"{folder}/workflow_scripts/__init__.py"


def test_without_an_activated_environment_steps_run_with_snakemake_s_python(project: Path) -> None:
    start(project, TABLES, "--", "list_models")
    assert (project / TABLES).is_file()
    assert_imported(project / "logs/list_models.txt", project)


def test_from_another_folder_steps_are_imported_from_the_snakefile_s_checkout(
    project: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work here"
    work.mkdir()
    shutil.copy(project / "params.yaml", work)
    start(
        tmp_path,
        "--snakefile",
        str(project / "Snakefile"),
        "--directory",
        str(work),
        "--",
        TABLES,
        "list_models",
    )
    assert (work / TABLES).is_file()
    assert_imported(work / "logs/list_models.txt", project)
    assert not (project / "data").exists()


CONDA = """#!/bin/bash
# What Snakemake asks of conda, answered for an environment whose Python says that it is the environment's.
case "$*" in
    "info --json") echo '{{"conda_prefix": "{prefix}", "platform": "linux-64"}}' ;;
    "--version") echo "conda 24.7.1" ;;
    "config --get"*) echo '{{"get": {{"channel_priority": "strict"}}}}' ;;
    "env create"*)
        environment="${{@: -1}}"
        mkdir -p "$environment/bin"
        printf '#!/bin/bash\\necho "python of conda" >&2\\nexec {python} "$@"\\n' > "$environment/bin/python"
        printf '#!/bin/bash\\n' > "$environment/bin/pip"
        chmod +x "$environment/bin/"* ;;
esac
"""


def test_where_conda_deploys_steps_run_with_the_environment_s_python(tmp_path: Path) -> None:
    """A stand-in for conda, which is not installed here: it shows which Python the commands of the rules call."""
    project = project_in(tmp_path / "project")  # Snakemake's own commands for conda take no spaces.
    programs = tmp_path / "conda/bin"
    programs.mkdir(parents=True)
    (programs / "conda").write_text(CONDA.format(prefix=programs.parent, python=sys.executable))
    (programs / "conda").chmod(0o755)
    (programs / "activate").write_text('export PATH="$1/bin:$PATH"\n')
    text = start(
        project,
        "--software-deployment-method",
        "conda",
        "--",
        "list_models",
        PATH=f"{programs}:/usr/bin:/bin",
    )
    assert "Creating conda environment" in text
    said = (project / "logs/list_models.txt").read_text()
    assert "python of conda" in said
    assert f"{project}/workflow_scripts/__init__.py" in said
