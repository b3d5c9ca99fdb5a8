"""What MLflow shows of a data set's experiment: what was chosen, saved views of its table, and links."""

from collections.abc import Sequence

from workflow_scripts.reporting.page_links import run_link, view_link
from workflow_scripts.reporting.run_pages import cautions, number, table
from workflow_scripts.reporting.sweep_pages import comparison
from workflow_scripts.reporting.sweeps import Sweep, means
from workflow_scripts.runtime.tracking.names import plain, sweep_name
from workflow_scripts.runtime.tracking.views import VIEW, saved_view

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
    """The first lines answer, the rest explains: MLflow shows two lines until one asks for more."""
    lines = []
    for vital in dict.fromkeys(str(sweep.key["vital"]) for sweep in sweeps):
        of_vital = [sweep for sweep in sweeps if sweep.key["vital"] == vital]
        links = [
            f"[best rank of each model]({view_link(experiment_id, _view_id('sweep', vital))})",
            f"[every run]({view_link(experiment_id, _view_id('run', vital))})",
        ]
        links += [
            f"[{sweep.key['model']}{_of_cohort(sweep, of_vital)}: adapter]"
            f"({run_link(experiment_id, sweep.run_id(best), '/artifacts/adapter')})"
            for sweep in of_vital
            if (best := sweep.best_adapter())
        ]
        lines.append(f"**{plain(vital).capitalize()}:** {' · '.join(links)}")
    stand_in = any(sweep.stand_in for sweep in sweeps)
    text = [
        "<br>".join(lines),
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
    for sweep in sweeps:
        chosen = sweep.chosen()
        found = means(chosen)
        arm = chosen[0]["key"]["arm"] if chosen else "–"
        numbers = [str(sweep.best_rank() or "–"), number(found.get("mse")), number(found.get("mae"))]
        rows.append([sweep_name(sweep.key), arm, *numbers, comparison(sweep, experiment_id)])
    return table(["sweep", "chosen on validation", "best rank", "test MSE", "test MAE", ""], rows, 12_000)


def _of_cohort(sweep: Sweep, others: Sequence[Sweep]) -> str:
    return f", {sweep.key['cohort']}" if len({other.key["cohort"] for other in others}) > 1 else ""


def _view_id(kind: str, vital: str) -> str:
    return f"vitalora-{kind}s-{vital}"
