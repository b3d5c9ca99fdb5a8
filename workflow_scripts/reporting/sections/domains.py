"""By domain: the same table in every cohort, and adapters of one cohort on the test windows of another."""

from itertools import combinations

from workflow_scripts.evaluation.names import (
    capital,
    cohort_name,
    dataset_name,
    listed,
    model_name,
    run_name,
    vital_name,
)
from workflow_scripts.evaluation.sites import split_site
from workflow_scripts.reporting.charts import (
    MSE_AXIS,
    Figure,
    data,
    error_axis,
    error_tips,
    identity,
    interval_bars,
    legend_columns,
    make_figure,
    model_scales,
    scale_of,
    slug,
)
from workflow_scripts.reporting.page import Block, Section
from workflow_scripts.reporting.sections.transfer import main_rows, transfer_matrix, transfer_table
from workflow_scripts.reporting.study import Study, compared_arms, mse_columns
from workflow_scripts.reporting.words import number
from workflow_scripts.sources.datasets import dataset_of


def domain_section(study: Study) -> Section:
    """Errors by cohort where there are several, and the transfer matrix where there is its table."""
    blocks = []
    for vital in dict.fromkeys(task.vital for task in study.tasks):
        figures = [figure for figure in [_by_cohort(study, vital)] if figure]
        tables = []
        rows = main_rows([row for row in study.sources.transfer if row.vital == vital])
        for model, arm in dict.fromkeys((row.model, row.arm) for row in rows):
            figures.append(transfer_matrix([row for row in rows if (row.model, row.arm) == (model, arm)]))
        if rows:
            tables.append(transfer_table(vital, rows, study.sources.statistics.confidence))
        if figures:
            blocks.append(Block(capital(vital_name(vital)), figures=figures, tables=tables))
    missing = ""
    if len(study.cohorts) < 2 and not study.sources.transfer:
        missing = "One cohort: nothing to compare across domains. Name several in params.yaml (cohorts)."
    elif not study.sources.transfer:
        missing = "There is no table of transfer (transfer.csv), or it is empty."
    return Section(
        "domains",
        "Other domains, and transfer between them",
        blocks,
        " ".join(_shared_patients(study)),
        missing,
    )


def _shared_patients(study: Study) -> list[str]:
    """Which cohorts of different data sets may hold the same patients, a sentence for each two data sets."""
    names = dict.fromkeys(row.evaluated_on for row in study.sources.transfer)
    found: dict[tuple[str, str], str] = {}
    for (one, cohort), (other, its_cohort) in combinations(
        [split_site(name, study.dataset) for name in names], 2
    ):
        shared = dataset_of(one).centres_of(cohort) & dataset_of(other).centres_of(its_cohort)
        if one != other and shared:
            found[one, other] = (
                f"{capital(dataset_name(one))} and {dataset_name(other)} both have patients of "
                f"{listed(sorted(shared))}, and the same people may be in both: a transfer between these patients is "
                "no external validation."
            )
    return list(found.values())


def _by_cohort(study: Study, vital: str) -> Figure | None:
    """One arm of each model in every cohort."""
    import altair as alt

    tasks = [task for task in study.tasks if task.vital == vital]
    if len(tasks) < 2:
        return None
    rows = [
        identity(arm.first)
        | {
            "cohort_name": capital(cohort_name(task.cohort)),
            "name": capital(run_name(arm.first.model, arm.first.arm)),
            "model_name": capital(model_name(arm.first.model)),
        }
        | mse_columns(study, arm)
        for task in tasks
        for arm in compared_arms(task)
    ]
    if not rows:
        return None
    models = {row["model_name"]: study.model_indices.get(row["model"]) for row in rows}
    colours, shapes = model_scales(models)
    scale = scale_of(rows, "mse_e4", "low", "high")
    base = alt.Chart(data()).encode(
        y=alt.Y("cohort_name:N", sort=None).axis(title=None, ticks=False, domain=False, grid=True),
        yOffset=alt.YOffset("model_name:N", sort=list(models)),
        color=alt.Color("model_name:N").scale(colours),
        tooltip=[alt.Tooltip("name:N", title="arm"), *error_tips("mse_e4", MSE_AXIS)],
    )
    points = base.mark_point(filled=True, size=55, opacity=1).encode(
        x=alt.X("mse_e4:Q").scale(scale).axis(error_axis(scale, MSE_AXIS)),
        shape=alt.Shape("model_name:N").scale(shapes),
    )
    bars = interval_bars(base, rows, "x", {"strokeWidth": 1.6, "strokeOpacity": 0.6})
    columns = legend_columns(models, [row["cohort_name"] for row in rows])
    words = "; ".join(f"{row['cohort_name']}, {row['name']}: {number(row['mse_e4'])}" for row in rows)
    return make_figure(
        f"all_{slug(vital)}_error-by-cohort",
        "error-by-cohort",
        "Error by cohort",
        f"{MSE_AXIS}, each cohort's own test windows. {words}.",
        alt.layer(*bars, points),
        rows,
        f"{capital(vital_name(vital))}, one arm of each model",
        height=80 + len(tasks) * max(26, 10 * len(models)) + (11 if columns == 2 else 19) * len(models),
        columns=columns,
    )
