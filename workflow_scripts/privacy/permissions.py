"""Files for their owner only."""

import os
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
