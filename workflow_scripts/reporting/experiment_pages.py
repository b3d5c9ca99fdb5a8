"""What MLflow shows of a data set's experiment: what was chosen, saved views of its table, and links."""

from collections.abc import Sequence

from workflow_scripts.reporting.page_links import run_link, view_link
from workflow_scripts.reporting.run_pages import cautions, number, table
from workflow_scripts.reporting.sweep_pages import comparison
from workflow_scripts.reporting.sweeps import Sweep, means
from workflow_scripts.tracking.names import plain, sweep_name
from workflow_scripts.tracking.views import VIEW, saved_view

WEIGHTS = "/artifacts/adapter/adapter_model.safetensors"
"""The part of a run's page where its adapter can be downloaded."""

SWEEP_COLUMNS = ("tags.`chosen`", "metrics.`best_rank`", "metrics.`mse`", "metrics.`mae`", "metrics.`wql`")
RUN_COLUMNS = (
    "tags.`model`",
    "tags.`arm`",
    "metrics.`mse`",
    "metrics.`mae`",
    "metrics.`wql`",
    "metrics.`best_validation_loss`",
    "metrics.`trainable_parameters`",
    "metrics.`training_seconds`",
)


def experiment_views(vitals: Sequence[str]) -> dict[str, str]:
    """Tags of the experiment that are saved views of its table, two for each vital sign."""
    views: dict[str, str] = {}
    for vital in vitals:
        for kind, label, columns in (
            ("sweep", "best rank of each model", SWEEP_COLUMNS),
            ("run", "every run", RUN_COLUMNS),
        ):
            query = f"tags.kind = '{kind}' and tags.vital = '{vital}'"
            views[f"{VIEW}{_view_id(kind, vital)}"] = saved_view(
                f"{plain(vital).capitalize()}: {label}", query, columns, "metrics.`mse`", len(views)
            )
    return views


def experiment_description(sweeps: Sequence[Sweep], experiment_id: str, dataset: str) -> str:
    """The first line leads to the answers, the rest explains: MLflow shows two lines until one asks for more."""
    vitals = dict.fromkeys(str(sweep.key["vital"]) for sweep in sweeps)
    links = {
        kind: " · ".join(
            f"[{plain(vital)}]({view_link(experiment_id, _view_id(kind, vital))})" for vital in vitals
        )
        for kind in ("sweep", "run")
    }
    stand_in = any(sweep.stand_in for sweep in sweeps)
    text = [
        f"**Best rank:** {links['sweep']}&emsp;**Every run:** {links['run']}",
        f"Forecasts of vital signs on **{dataset}**: a sweep for each model, vital sign and cohort, and below it "
        "one run for each arm and seed. Ranks and adapters are chosen on validation loss alone; `mse`, `mae` and "
        "the others are of test windows that no run trained on. `run.json`, an artifact of every run, is its full "
        "record; docs/browsing-runs.md explains this page.",
        _table_of_sweeps(sweeps, experiment_id),
        cautions(dataset, stand_in),
    ]
    return "\n\n".join(filter(None, text))


def _table_of_sweeps(sweeps: Sequence[Sweep], experiment_id: str) -> str:
    rows = []
    for sweep in sorted(sweeps, key=lambda each: each.best_adapter() is None):
        found = means(sweep.chosen())
        numbers = [str(sweep.best_rank() or "–"), number(found.get("mse")), number(found.get("mae"))]
        chosen = _chosen(sweep, experiment_id)
        rows.append([sweep_name(sweep.key), chosen, *numbers, comparison(sweep, experiment_id)])
    names = ["sweep", "adapter chosen on validation", "best rank", "test MSE", "test MAE", "side by side"]
    return table(names, rows, 12_000)


def _chosen(sweep: Sweep, experiment_id: str) -> str:
    """The chosen adapter's arm, as a link to its weights; what is no adapter has none."""
    best = sweep.best_adapter()
    return f"[{best['key']['arm']}]({run_link(experiment_id, sweep.run_id(best), WEIGHTS)})" if best else "–"


def _view_id(kind: str, vital: str) -> str:
    return f"vitalora-{kind}s-{vital}"
