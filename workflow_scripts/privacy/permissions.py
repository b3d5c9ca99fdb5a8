"""Files for their owner only."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

DVC_FOLDER, DVC_CACHE = ".dvc", ".dvc/cache"


def keep_to_owner(root: Path) -> None:
    """From now on, this process and its children make files for their owner only.

    DVC is a process of its own and copies the data into its cache, so the cache is made here, closed, where there
    is none yet. Existing files keep their permissions: a group may share a folder on purpose.
    """
    os.umask(0o077)
    if (root / DVC_FOLDER).is_dir():
        (root / DVC_CACHE).mkdir(mode=0o700, exist_ok=True)


def open_to_others(root: Path, folder: Path) -> Iterator[Path]:
    """Files below a folder that another user can reach: neither they nor a folder above them, up to root, is closed."""
    closed = any(not _is_open(parent) for parent in [folder, *folder.parents] if parent.is_relative_to(root))
    if not closed:
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                yield from open_to_others(root, path)
            elif _is_open(path):
                yield path


def _is_open(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
