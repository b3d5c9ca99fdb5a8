"""README.md of an adapter's folder: a model card, as the Hugging Face hub reads it."""

from dataclasses import asdict

from workflow_scripts.adaptation.adapters import SavedArm

_FIELDS = {
    "vital": "vital sign",
    "unit": "unit",
    "scale_low": "becomes 0 for the model",
    "scale_high": "becomes 1 for the model",
    "interval_minutes": "minutes between two steps",
    "context": "steps of context",
    "horizon": "steps of horizon",
}
"""Field of TrainedOn -> its words."""

_USE = """\
## Use

With vitalora, in this unit; context, interval and scale are read from this folder:

    python -m workflow_scripts.steps.forecast --adapter THIS_FOLDER --input series.csv --output forecast.csv
"""

_PEFT = """
With peft alone, on the module of the base model that its own library loads:

    from peft import PeftModel

    module = PeftModel.from_pretrained(module, "THIS_FOLDER")

Give it (value - low) / (high - low), with the range above, and turn its forecasts back.
"""

_LIMITS = """
## Limits

For research, not for clinical use. The errors on patients that it was not trained on are in `run.json` of its run.
"""


def model_card(saved: SavedArm, dataset: str, licence: str, hub_id: str | None) -> str:
    """Return the card's text, Markdown below the hub's fields.

    dataset: a name. licence, hub_id: of the base model; hub_id is None where it is not on the hub.
    """
    from huggingface_hub import ModelCardData

    arm = saved.arm
    hub_fields = ModelCardData(
        base_model=hub_id,
        license=licence.lower(),
        library_name="peft" if arm.definition.uses_peft else None,
        pipeline_tag="time-series-forecasting",
        tags=["vitalora", arm.method],
    )
    what = (
        "A model trained from scratch" if arm.is_from_scratch else f"{arm.definition.label} of `{saved.base}`"
    )
    facts = {"base model": saved.base, "SHA-256 of its weights": saved.base_sha256, "data set": dataset}
    if saved.trained_on:
        facts |= {_FIELDS[name]: value for name, value in asdict(saved.trained_on).items()}
    versions = saved.description.get("versions", {})
    facts["made with"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    rows = [f"| {name} | {value} |" for name, value in facts.items() if value is not None]
    return "\n".join(
        [
            f"---\n{hub_fields.to_yaml()}\n---",
            f"# {saved.base}, {arm.name}",
            "",
            f"{what} for forecasts of vital signs, trained by vitalora.",
            "",
            "| | |\n|---|---|",
            *rows,
            "",
            _USE + (_PEFT if arm.definition.uses_peft else "") + _LIMITS,
        ]
    )
