"""Copies of the project with a tiny study, and commands run in them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]

TINY_STUDY = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")) | {
    "vitals": ["heart_rate"],
    "baselines": ["persistence", "mean-of-context"],
    "from_scratch": [],
    "ranks": [1, 2],
    "simulator": {"patients": 60},
    "training": {"steps": 4, "evaluate_every": 2},
    "forecast": {"samples": 10},
}


def run_in(
    folder: Path, *command: str, expect: int | None = 0, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of this environment in a folder; show its output unless it ends as expected (None: anyhow)."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MIMIC_")}
    environment |= {"PATH": path, "GIT_CONFIG_GLOBAL": os.devnull, **variables}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    assert expect in (None, done.returncode), f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done


def commit_all(folder: Path, message: str) -> None:
    """Commit everything in a folder under a neutral name."""
    run_in(folder, "git", "add", "--all")
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    run_in(folder, "git", *identity, "commit", "--quiet", "--allow-empty", "--message", message)


def copy_project(folder: Path, study: dict[str, object]) -> Path:
    """Copy what git tracks (or would track) and give it the settings of a study."""
    listed = run_in(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard").stdout.splitlines()
    for name in listed:
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    (folder / "params.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    return folder
