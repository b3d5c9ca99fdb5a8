"""By domain: the same table in every cohort, and adapters of one cohort on the test windows of another."""

from workflow_scripts.evaluation.names import capital, cohort_name, model_name, run_name, vital_name
from workflow_scripts.reporting.charts import (
    Figure,
    any_known,
    data,
    error_axis,
    error_scale,
    legend_columns,
    make_figure,
    model_scales,
)
from workflow_scripts.reporting.page import Block, Section
from workflow_scripts.reporting.parts import Study, compared_arms, error
from workflow_scripts.reporting.sections.transfer import main_rows, transfer_matrix, transfer_table
from workflow_scripts.reporting.words import number

AXIS = "MSE × 10⁻⁴"


def domain_section(study: Study) -> Section:
    """Errors by cohort where there are several, and the transfer matrix where there is its table."""
    blocks = []
    for vital in dict.fromkeys(part.vital for part in study.parts):
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
    if len(study.cohorts) < 2:
        missing = "One cohort: nothing to compare across domains. Name several in params.yaml (cohorts)."
    elif not study.sources.transfer:
        missing = "There is no table of transfer (transfer.csv), or it is empty."
    return Section(
        "domains",
        "Other domains, and transfer between them",
        blocks,
        "",
        missing,
    )


def _by_cohort(study: Study, vital: str) -> Figure | None:
    """One arm of each model in every cohort."""
    import altair as alt

    parts = [part for part in study.parts if part.vital == vital]
    if len(parts) < 2:
        return None
    rows = []
    for part in parts:
        for arm in compared_arms(part):
            interval = study.interval(arm, "mse")
            low, high = (interval.low, interval.high) if interval else (None, None)
            rows.append(
                {
                    "cohort": part.cohort,
                    "cohort_name": capital(cohort_name(part.cohort)),
                    "vital": vital,
                    "model": arm.first.model,
                    "arm": arm.first.arm,
                    "name": capital(run_name(arm.first.model, arm.first.arm)),
                    "model_name": capital(model_name(arm.first.model)),
                    "mse_e4": error(arm) * 1e4,
                    "low": None if low is None else low * 1e4,
                    "high": None if high is None else high * 1e4,
                }
            )
    if not rows:
        return None
    models = {str(row["model_name"]): study.places.get(str(row["model"])) for row in rows}
    colours, shapes = model_scales(models)
    scale = error_scale([row[name] for row in rows for name in ("mse_e4", "low", "high")])  # type: ignore[misc]
    base = alt.Chart(data()).encode(
        y=alt.Y("cohort_name:N", sort=None).axis(title=None, ticks=False, domain=False, grid=True),
        yOffset=alt.YOffset("model_name:N", sort=list(models)),
        color=alt.Color("model_name:N").scale(colours),
        tooltip=[
            alt.Tooltip("name:N", title="arm"),
            alt.Tooltip("mse_e4:Q", title=AXIS, format=".2f"),
            alt.Tooltip("low:Q", title="from", format=".2f"),
            alt.Tooltip("high:Q", title="to", format=".2f"),
        ],
    )
    layers = [
        base.mark_point(filled=True, size=55, opacity=1).encode(
            x=alt.X("mse_e4:Q").scale(scale).axis(error_axis(scale, AXIS)),
            shape=alt.Shape("model_name:N").scale(shapes),
        )
    ]
    if any_known(rows, "low"):
        bars = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=1.6, strokeOpacity=0.6)
        layers.insert(0, bars.encode(x=alt.X("low:Q"), x2="high:Q"))
    columns = legend_columns(models, [str(row["cohort_name"]) for row in rows])
    words = "; ".join(
        f"{row['cohort_name']}, {row['name']}: {number(float(str(row['mse_e4'])))}" for row in rows
    )
    return make_figure(
        f"all_{vital.replace('_', '-')}_error-by-cohort",
        "error-by-cohort",
        "Error by cohort",
        f"{AXIS}, each cohort's own test windows. {words}.",
        alt.layer(*layers),
        rows,
        f"{capital(vital_name(vital))}, one arm of each model",
        height=80 + len(parts) * max(26, 10 * len(models)) + (11 if columns == 2 else 19) * len(models),
        columns=columns,
    )
