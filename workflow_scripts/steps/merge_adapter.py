"""Fold a trained adapter into its base model: a folder that the family's upstream library loads as it is.

Example:
    python -m workflow_scripts.steps.merge_adapter --model chronos-t5-nano \\
        --adapter results/simulated/runs/sepsis3/heart_rate/chronos-t5-nano/lora-r2/seed0/adapter \\
        --output weights/chronos-t5-nano-heart-rate
"""

import argparse
import shutil
from pathlib import Path

from workflow_scripts.adaptation.adapters import load_adapter, merge, read_arm
from workflow_scripts.models.registry import variant, variant_names
from workflow_scripts.models.sources import weights_folder
from workflow_scripts.models.weights import load_variant, write_provenance
from workflow_scripts.privacy.credentials import MARK
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import atomic_folder
from workflow_scripts.runtime.step import run_step


def main() -> None:
    """Parse the command line; write the merged model whole or not at all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", required=True, metavar="NAME", help=f"base model, one of: {', '.join(variant_names())}"
    )
    parser.add_argument(
        "--weights", type=Path, help="folder of the base weights; by default weights/prepared/<model>"
    )
    parser.add_argument("--adapter", required=True, type=Path, help="folder `adapter` of a run")
    parser.add_argument("--output", required=True, type=Path, help="folder to write; it must not exist")
    options = parser.parse_args()
    merge_adapter(options.model, options.weights, options.adapter, options.output)


def merge_adapter(model: str, weights: Path | None, adapter: Path, output: Path) -> None:
    """Write base weights with an adapter folded in, their configuration and provenance.json.

    weights: folder of the base weights, by default weights/prepared/<model>.
    Raises UserError where the adapter is another model's, and where the output exists.
    """
    chosen, saved = variant(model), read_arm(adapter)
    if saved.base != model:
        raise UserError(
            str(adapter), f"an adapter of {saved.base}", f"one of {model}", "name its own base model"
        )
    if output.exists():
        raise UserError(str(output), "it exists", "a new folder", "choose another name, or remove it")
    loaded = load_variant(chosen, weights_folder(chosen, weights))
    load_adapter(loaded, adapter)
    merge(loaded)
    with atomic_folder(output) as folder:
        loaded.save(folder)
        if (adapter / MARK).is_file():
            shutil.copyfile(adapter / MARK, folder / MARK)
        write_provenance(chosen, folder, {"source": "merged", "base": model, "arm": saved.arm.name})
    print(f"{model} with {saved.arm.name} folded in: {output}")


if __name__ == "__main__":
    run_step(main)
