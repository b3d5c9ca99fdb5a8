"""Copied into a project as sitecustomize.py: every step notes which modules and data files of the package it used."""

import atexit
import json
import os
import sys
from pathlib import Path

_PROCESS, _FOLDER = os.getpid(), Path(__file__).parent
_OPENED: set[str] = set()


def _note_opened(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str):
        path = Path(arguments[0])
        if path.is_relative_to(_FOLDER / "workflow_scripts") and path.suffix not in (".py", ".pyc"):
            _OPENED.add(path.relative_to(_FOLDER).as_posix())


def _write() -> None:
    if os.getpid() == _PROCESS and "-m" in sys.orig_argv:
        modules = sorted(name for name in sys.modules if name.startswith("workflow_scripts"))
        used = {"command": sys.orig_argv, "modules": modules, "files": sorted(_OPENED)}
        (_FOLDER / "watched").mkdir(exist_ok=True)
        (_FOLDER / "watched" / f"{_PROCESS}.json").write_text(json.dumps(used))


sys.addaudithook(_note_opened)
atexit.register(_write)
