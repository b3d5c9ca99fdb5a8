"""What MLflow shows of a sweep, and of the adapter that is registered for it."""

from collections.abc import Mapping

from workflow_scripts.reporting.page_links import compare_link, run_link
from workflow_scripts.reporting.run_pages import ERRORS, Record, cautions, data_kind, data_set, number, table
from workflow_scripts.reporting.sweeps import Sweep, is_idle, means, validation_loss
from workflow_scripts.tracking.contents import Contents
from workflow_scripts.tracking.names import sweep_name


def sweep_contents(sweep: Sweep, experiment_id: str) -> Contents:
    """The sweep's page: the numbers of the arm that was chosen, means over seeds, and all arms in a table."""
    chosen = sweep.chosen()
    metrics = means(chosen) | {"best_rank": sweep.best_rank()}
    first = sweep.records[0] if sweep.records else None
    return Contents(
        metrics=metrics,
        tags={
            "chosen": chosen[0]["key"]["arm"] if chosen else None,
            "family": first["family"] if first else None,
            "data": data_kind(str(sweep.key["dataset"])),
            "runs": f"{len(sweep.records)} of {sweep.expected}",
        },
        description=_sweep_description(sweep, experiment_id),
        dataset=data_set(first) if first else None,
    )


def model_description(sweep: Sweep, record: Record, experiment_id: str) -> str:
    """Of a registered adapter."""
    key = record["key"]
    return "\n\n".join(
        filter(
            None,
            [
                f"The best adapter of **{sweep_name(sweep.key)}** on {key['dataset']}: {key['arm']}, seed "
                f"{key['seed']}, from [this run]({run_link(experiment_id, sweep.run_id(record))}). It was "
                "chosen on validation loss alone. docs/using-adapters.md says how it is used; its files are "
                "safetensors and JSON, no pickle and no code.",
                cautions(str(key["dataset"]), sweep.stand_in, str(key["model"])),
            ],
        )
    )


def model_name(key: Mapping[str, object]) -> str:
    """The name in the registry: `chronos-t5-nano.heart_rate.sepsis3.simulated`."""
    return ".".join(str(key[name]) for name in ("model", "vital", "cohort", "dataset"))


def _sweep_description(sweep: Sweep, experiment_id: str) -> str:
    missing = sweep.expected - len(sweep.records)
    text = [
        f"**{sweep_name(sweep.key)}** on {sweep.key['dataset']}: {sweep.expected} runs, one for each arm and seed."
        + (f" **{missing} of them are not finished.**" if missing else "")
    ]
    chosen = sweep.chosen()
    if sweep.best_adapter():
        text.append(
            f"Chosen on validation loss alone: **{chosen[0]['key']['arm']}**. This page shows its numbers, means over "
            f"seeds. {comparison(sweep, experiment_id)}"
        )
    elif idle := [arm for arm, runs in sweep.arms.items() if is_idle(runs)]:
        text.append(
            f"**Nothing was learned** by {', '.join(idle)}: no step lowered the validation loss, so these are the "
            "untrained model's forecasts."
        )
    text.append(_table_of_arms(sweep, experiment_id))
    text.append(cautions(str(sweep.key["dataset"]), sweep.stand_in, str(sweep.key["model"])))
    return "\n\n".join(filter(None, text))


def _table_of_arms(sweep: Sweep, experiment_id: str) -> str:
    unit = next((record.get("windows", {}).get("unit", "") for record in sweep.records), "")
    labels = [label.format(unit=unit) for label in ERRORS.values()]
    rows = []
    for arm, runs in sweep.arms.items():
        found = means(runs)
        errors = [number(found.get(name)) for name in ERRORS]
        trained = f"{runs[0]['parameters']['trainable']:,}"
        links = [f"[seed {run['key']['seed']}]({run_link(experiment_id, sweep.run_id(run))})" for run in runs]
        rows.append([arm, *errors, number(validation_loss(runs)), trained, " ".join(links)])
    return table(["arm", *labels, "validation loss", "trained parameters", "runs"], rows, 6000)


def comparison(sweep: Sweep, experiment_id: str) -> str:
    """A link to MLflow's comparison of the chosen run with one that adapts nothing, or with full fine-tuning."""
    best = sweep.best_adapter()
    others = [sweep.arms[arm][0] for arm in ("zero-shot", "full") if arm in sweep.arms]
    if best is None or not others:
        return ""
    link = compare_link(experiment_id, [sweep.run_id(best), sweep.run_id(others[0])])
    return f"[{best['key']['arm']} beside {others[0]['key']['arm']}]({link})"
