"""Put a published model's base weights in place, from a folder or from the hub, checked and recorded."""

import argparse
from pathlib import Path

from workflow_scripts.models.registry import variant, variant_names
from workflow_scripts.models.weights import HUB, copy_local, download, load_variant, write_provenance
from workflow_scripts.runtime.files import atomic_folder
from workflow_scripts.runtime.step import run_step


def main() -> None:
    """Parse the command line and write the folder whole or not at all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", required=True, metavar="NAME", help=f"one of: {', '.join(variant_names())}"
    )
    parser.add_argument(
        "--source", required=True, help=f"folder with config.json and safetensors, or '{HUB}' to download"
    )
    parser.add_argument("--output", required=True, type=Path, help="folder to write, weights/<model>")
    arguments = parser.parse_args()
    prepare(arguments.model, arguments.source, arguments.output)


def prepare(model: str, source: str, output: Path) -> None:
    """Fetch, check and record one variant's weights.

    Raises UserError where the source is out of reach or does not hold this variant: another family or size,
    no safetensors, missing tensors, NaN weights.
    """
    chosen = variant(model)
    with atomic_folder(output) as folder:
        if source == HUB:
            download(chosen, folder)
            origin = {"source": HUB, "hub_id": chosen.hub_id, "revision": chosen.revision}
        else:
            copy_local(chosen, Path(source), folder)
            origin = {"source": "local folder"}
        load_variant(chosen, folder)
        write_provenance(chosen, folder, origin)


if __name__ == "__main__":
    run_step(main)
