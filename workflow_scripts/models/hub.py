"""Downloads from the model hub: one commit, every file's SHA-256, both kept in weights.lock.yaml.

The hub's own client does the transfers. Files come over plain HTTP, without its second transport (Xet): that is
what the tests cover. No token is sent, for no model of the registry needs one.
"""

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

import yaml

from workflow_scripts.models.registry import Variant
from workflow_scripts.models.sources import KEPT
from workflow_scripts.models.weights import CONFIGURATION, WEIGHTS
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import write_text
from workflow_scripts.runtime.hashing import file_hash

LOCK = Path("weights.lock.yaml")
_HEADING = """\
# What was downloaded from the model hub: the commit, and the SHA-256 of every file. Written by prepare_weights at
# the first download, and meant to be committed: later downloads accept nothing else. To accept other weights, remove
# the model's entry.
"""


@dataclass(frozen=True)
class Pin:
    """What a model's weights are, once and for all."""

    hub_id: str
    commit: str
    sha256: dict[str, str]


def read_lock(path: Path = LOCK) -> dict[str, Pin]:
    """Model -> pin; empty where there is no lock file. Raises UserError where it cannot be understood."""
    if not path.exists():
        return {}
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        pins = {name: Pin(**entry) for name, entry in entries.items()}
        if not all(isinstance(pin.sha256, dict) and len(pin.commit) == 40 for pin in pins.values()):
            raise ValueError("a commit or its hashes")
        # A name with a folder in it could reach outside.
        if not all(Path(name).name == name for pin in pins.values() for name in pin.sha256):
            raise ValueError("a name of a file")
    except (yaml.YAMLError, TypeError, AttributeError, ValueError):
        raise UserError(
            str(path),
            "not readable as a list of pinned models",
            "hub_id, commit (40 characters) and sha256 for each model",
            "restore the file from git; or remove it, and what is downloaded next is pinned",
        ) from None
    return pins


def write_pin(model: str, pin: Pin, path: Path = LOCK) -> None:
    """Add one model to the lock file; several processes may do so at once."""
    from filelock import FileLock

    with FileLock(path.with_name(f".{path.name}.lock")):
        pins = {**read_lock(path), model: pin}
        entries = {name: asdict(pins[name]) for name in sorted(pins)}
        write_text(path, _HEADING + yaml.safe_dump(entries, sort_keys=False))


def download(variant: Variant, folder: Path, pin: Pin | None) -> Pin:
    """Download what the pin names, or, without one, the registry's revision, or else what `main` is now.

    Every file is compared with the pin, and with what the hub itself says of it. Returns the pin that holds from
    now on. Raises UserError where the variant is embedded, the pin contradicts the registry, the hub is out of
    reach, lacks the revision or a file, or sends other bytes.
    """
    if variant.hub_id is None:
        raise UserError(
            f"model {variant.name}",
            "an embedded model, which no hub has",
            "a published model",
            "leave out its source, or give a folder",
        )
    revision = _revision(variant, pin)
    # Before the client's import, which is when it reads this.
    os.environ["HF_HUB_DISABLE_XET"] = "1"
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError

    client = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=False)
    where = f"{variant.hub_id} on the hub, revision {revision}"
    needed = (
        list(pin.sha256) if pin else [variant.checkpoint] if variant.checkpoint else [CONFIGURATION, WEIGHTS]
    )
    optional = [] if pin or variant.checkpoint else KEPT
    try:
        commit = _commit(client.model_info(variant.hub_id, revision=revision).sha, revision, where)
        client.snapshot_download(
            variant.hub_id, revision=commit, local_dir=folder, allow_patterns=[*needed, *optional]
        )
        verified = client.verify_repo_checksums(variant.hub_id, revision=commit, local_dir=folder)
    except (OSError, HTTPError) as error:
        _explain(error, where)
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    if missing := [name for name in needed if not (folder / name).is_file()]:
        raise UserError(
            where,
            f"a repository without {', '.join(missing)}",
            ", ".join(needed) + "; other formats can run code when they are read and are never opened",
            "get the files elsewhere, and give their folder as the source",
        )
    hashes = {path.name: file_hash(path) for path in sorted(folder.glob("[!.]*"))}
    for name, expected in (pin.sha256 if pin else {}).items():
        if hashes[name] != expected:
            raise _other_bytes(where, name, hashes[name], f"{expected}, as {LOCK.name} says")
    for file in verified.mismatches:
        kind = "SHA-256" if file["algorithm"] == "sha256" else "git hash"
        expected = f"{file['expected']}, as the hub's own listing says"
        raise _other_bytes(where, file["path"], file["actual"], expected, kind)
    return Pin(variant.hub_id, commit, hashes)


def _revision(variant: Variant, pin: Pin | None) -> str:
    if pin is None:
        return variant.revision or "main"
    named = (variant.hub_id, variant.revision or pin.commit)
    if named != (pin.hub_id, pin.commit):
        raise UserError(
            f"{LOCK.name}, {variant.name}",
            f"{pin.hub_id} at commit {pin.commit}",
            f"{named[0]} at commit {named[1]}, as the registry says",
            "remove the model's entry to accept the registry's revision, or go back to the version that pinned it",
        )
    return pin.commit


def _commit(answered: str | None, revision: str, where: str) -> str:
    if answered is None or (revision != "main" and answered != revision):
        raise UserError(
            where,
            f"a hub that answers with commit {answered}",
            "the commit that was asked for",
            "ask the hub itself (unset HF_ENDPOINT), or download elsewhere and give the folder as the source",
        )
    return answered


def _other_bytes(where: str, name: str, found: str, expected: str, kind: str = "SHA-256") -> UserError:
    return UserError(
        f"{where}, file {name}",
        f"{kind} {found}",
        f"{kind} {expected}",
        "try again; if it stays so, do not use the file, and ask whoever publishes it what has changed",
    )


def _explain(error: Exception, where: str) -> NoReturn:
    from huggingface_hub import errors

    reasons: list[tuple[type[Exception] | tuple[type[Exception], ...], str, str]] = [
        (
            errors.RevisionNotFoundError,
            "the hub has no such revision (any more)",
            "a revision that the hub has",
        ),
        (
            (errors.GatedRepoError, errors.RepositoryNotFoundError),
            "the hub does not give out this repository",
            "a public repository",
        ),
        (errors.RemoteEntryNotFoundError, "a file is missing there", "every file that the hub lists"),
        (errors.OfflineModeIsEnabled, "HF_HUB_OFFLINE is set", "leave to go online"),
    ]
    text = " ".join(str(error).split())[:200]
    found, expected = next(
        ((found, expected) for kind, found, expected in reasons if isinstance(error, kind)),
        (f"the download failed ({type(error).__name__}: {text})", "a hub within reach"),
    )
    raise UserError(
        where, found, expected, "check the network, or download elsewhere and give the folder as the source"
    ) from error
