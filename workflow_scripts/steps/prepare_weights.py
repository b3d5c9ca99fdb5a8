"""A model's base weights, prepared for the study."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from workflow_scripts.models.hub import LOCK, download, read_lock, write_pin
from workflow_scripts.models.registry import Variant, variant, variant_names
from workflow_scripts.models.sources import (
    EMBEDDED,
    HUB,
    PACKAGE,
    convert,
    copy_embedded,
    copy_local,
    copy_packaged,
    require_base_weights,
)
from workflow_scripts.models.weights import WEIGHTS, load_variant, write_provenance
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import atomic_folder, require_own_folder
from workflow_scripts.runtime.step import run_step


def prepare_weights(
    model: Annotated[
        str,
        Option(
            metavar="NAME",
            help=f"one of: {', '.join(variant_names())}",
        ),
    ],
    source: Annotated[
        str,
        Option(
            help=f"'{EMBEDDED}'; '{PACKAGE}', an installed one; '{HUB}' to download; or a path: a folder with"
            " config.json and model.safetensors, or Lag-Llama's official checkpoint"
        ),
    ],
    output: Annotated[Path, Option(help="folder to write, weights/prepared/<model>")],
    lock: Annotated[Path, Option(help="file of pinned downloads; a new pin is added")] = LOCK,
) -> None:
    """Put a model's base weights in place, from the repository, a package, a path or the hub, checked and recorded.

    Example:
        python -m workflow_scripts.steps.prepare_weights --model chronos-t5-nano --source embedded \\
            --output weights/prepared/chronos-t5-nano
    """
    require_own_folder(output)
    prepare(model, source, output, lock)


def prepare(model: str, source: str, output: Path, lock: Path = LOCK) -> None:
    """Fetch, check and record one variant's weights; say what its licence restricts.

    Raises UserError where the source is out of reach, is not what was pinned, or does not hold this variant:
    another family or size, no safetensors, missing tensors, NaN weights; and where the variant has no weights.
    """
    chosen = variant(variant(model).weights_of)
    require_base_weights(chosen)
    if chosen.restriction:
        print(f"{model}: the licence of these weights is {chosen.licence}: {chosen.restriction}.", flush=True)
    with atomic_folder(output) as folder:
        if source == EMBEDDED:
            # Their hashes are in git beside them: reading them once more with torch would show nothing new.
            copy_embedded(chosen, folder)
        elif source == PACKAGE:
            write_provenance(chosen, folder, copy_packaged(chosen, folder))
        elif source == HUB:
            _download(chosen, folder, lock)
        else:
            origin = copy_local(chosen, Path(source), folder)
            with _named(folder, source.removesuffix(f"/{WEIGHTS}")):
                load_variant(chosen, folder)
            write_provenance(chosen, folder, origin)


@contextmanager
def _named(folder: Path, source: str) -> Iterator[None]:
    """Name the source in a complaint about the copy, which is gone by the time it is read."""
    try:
        yield
    except UserError as error:
        where = error.where.replace(str(folder), source)
        raise UserError(where, error.found, error.expected, error.remedy) from error


def _download(chosen: Variant, folder: Path, lock: Path) -> None:
    known = read_lock(lock).get(chosen.name)
    pin = download(chosen, folder, known)
    origin: dict[str, Any] = {"source": HUB, "hub_id": pin.hub_id, "commit": pin.commit}
    with _named(folder, f"the hub's {pin.hub_id}"):
        if chosen.checkpoint:
            checkpoint = folder / chosen.checkpoint
            origin["checkpoint"] = convert(chosen, checkpoint, folder)
            checkpoint.unlink()
        load_variant(chosen, folder)
    write_provenance(chosen, folder, origin)
    if known is None:
        # Only what loads is pinned.
        write_pin(chosen.name, pin, lock)
        revision = (
            "the registry's revision"
            if chosen.revision
            else "what `main` is today: no revision was on record"
        )
        print(
            f"{chosen.name}: commit {pin.commit} ({revision}) is pinned in {lock}; commit that file.",
            flush=True,
        )


if __name__ == "__main__":
    run_step(prepare_weights, online=True)
