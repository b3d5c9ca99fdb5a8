"""Which files the guard reads: all that git tracks or would add, and all that the workflow makes outside its data."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.runtime.errors import UserError

MADE = ("logs", "results", "weights", "mlruns", "mlartifacts", ".snakemake", ".dvc", "dvc_plots", "plots")
"""Folders of what the workflow, MLflow and DVC write, apart from the data."""

_MADE_FILES = (
    "mlflow.db*",
    "dvc.lock",
    "*.log",
    "data/*/cohorts/*",
    "data/*/settings/*",
    "data/raw/settings/*",
)
_TABLES = (".parquet", ".gz", ".duckdb")
_NOT_OURS = (".snakemake/conda", ".snakemake/singularity", ".dvc/tmp/btime")
_CACHE = ".dvc/cache/files"


@dataclass(frozen=True)
class ScannedFile:
    """A file to read. tracked: git has it, or would add it. content: what is staged; None: read the file."""

    name: str
    tracked: bool
    content: bytes | None = None


def project_files(root: Path) -> Iterator[ScannedFile]:
    """Every file of a project that the guard reads, without the tables in its data folders."""
    tracked = _git_files(root, "ls-files", "--cached", "--others", "--exclude-standard")
    yield from (ScannedFile(name, tracked=True) for name in tracked if (root / name).is_file())
    seen = set(tracked)
    for path in _made_files(root):
        name = path.relative_to(root).as_posix()
        if name not in seen and not path.is_symlink():
            seen.add(name)
            yield ScannedFile(name, tracked=False)


def staged_files(root: Path) -> Iterator[ScannedFile]:
    """Every file that the next commit would add or change, as it is staged."""
    for name in _git_files(root, "diff", "--cached", "--name-only", "--diff-filter=ACMRT"):
        yield ScannedFile(name, tracked=True, content=_git(root, "show", f":{name}"))


def _made_files(root: Path) -> Iterator[Path]:
    for folder in MADE:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and not _is_data(path.relative_to(root).as_posix()):
                yield path
    for pattern in _MADE_FILES:
        yield from (
            path for path in sorted(root.glob(pattern)) if path.is_file() and path.suffix not in _TABLES
        )


def _is_data(name: str) -> bool:
    """DVC's cache holds the data again under their hashes; its listings of folders hold names, and are read."""
    return name.startswith(_NOT_OURS) or (name.startswith(_CACHE) and not name.endswith(".dir"))


def _git_files(root: Path, *arguments: str) -> list[str]:
    if not (root / ".git").exists():
        return []
    return _git(root, *arguments, "-z").decode("utf-8", "surrogateescape").split("\0")[:-1]


def _git(root: Path, *arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    if done.returncode:
        raise UserError(
            str(root),
            f"git {arguments[0]} ended with {done.returncode}",
            "a git repository whose files can be listed",
            "run the guard in the project's folder, with git installed",
        )
    return done.stdout
