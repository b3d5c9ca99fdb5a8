"""An adapter folded into its base model."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from workflow_scripts.adaptation.adapters import load_adapter, merge, read_arm, require_base, require_weights
from workflow_scripts.models.registry import require_accepted_licence, variant, variant_names
from workflow_scripts.models.sources import weights_folder
from workflow_scripts.models.weights import WEIGHTS, load_variant, write_provenance
from workflow_scripts.privacy.credentials import MARK
from workflow_scripts.runtime.files import atomic_folder, require_own_folder
from workflow_scripts.runtime.step import run_step


def merge_adapter(
    model: Annotated[
        str,
        Option(
            metavar="NAME",
            help=f"base model, one of: {', '.join(variant_names())}",
        ),
    ],
    adapter: Annotated[Path, Option(help="folder `adapter` of a run")],
    output: Annotated[Path, Option(help="folder to write; an earlier result is replaced")],
    weights: Annotated[
        Path | None, Option(help="folder of the base weights; by default weights/prepared/<model>")
    ] = None,
    accept_licence: Annotated[
        str | None,
        Option(metavar="LICENCE", help="licence of the base weights, where it restricts their use"),
    ] = None,
) -> None:
    """Fold a trained adapter into its base model: a folder that the family's upstream library loads as it is.

    The folder holds the weights, their configuration and provenance.json. It is complete or absent. It holds the base
    weights too: where their licence restricts their use, --accept-licence must name it.

    Example:
        python -m workflow_scripts.steps.merge_adapter --model chronos-t5-nano \\
            --adapter results/simulated/runs/sepsis3/heart_rate/chronos-t5-nano/lora-r2/seed0/adapter \\
            --output weights/chronos-t5-nano-heart-rate
    """
    require_own_folder(output)
    chosen = variant(model)
    require_accepted_licence(chosen, accept_licence)
    saved = read_arm(adapter)
    require_base(adapter, model)
    base = weights_folder(chosen, weights)
    require_weights(adapter, base / WEIGHTS)
    loaded = load_variant(chosen, base)
    merge(loaded, load_adapter(loaded, adapter))
    with atomic_folder(output) as folder:
        loaded.save(folder)
        if (adapter / MARK).is_file():
            shutil.copyfile(adapter / MARK, folder / MARK)
        origin: dict[str, Any] = {"source": "merged", "base": model, "arm": saved.arm.name}
        if saved.trained_on:
            origin |= {"trained_on": asdict(saved.trained_on)}
        write_provenance(chosen, folder, origin)
    print(f"{model} with {saved.arm.name} folded in: {output}")


if __name__ == "__main__":
    run_step(merge_adapter)
