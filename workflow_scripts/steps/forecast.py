"""Forecasting a user's own series with a foundation model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from typer import Option

from workflow_scripts.adaptation.adapters import (
    TrainedOn,
    read_arm,
    read_merged,
    require_base,
    require_weights,
)
from workflow_scripts.models.registry import check_covariates, check_geometry, variant, variant_names
from workflow_scripts.models.sources import weights_folder
from workflow_scripts.models.weights import WEIGHTS
from workflow_scripts.reporting.forecast_figure import SHOWN, draw_forecasts
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import atomic_path, require_own_file, write_parquet
from workflow_scripts.runtime.step import run_step
from workflow_scripts.training.data import Scale, series_arrays
from workflow_scripts.training.parameters import ForecastParameters
from workflow_scripts.windows.series import SeriesTable, read_series

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("series", "time", "step")
"""First columns of the table; those of the quantiles follow."""

TABLE_SUFFIXES, FIGURE_SUFFIXES = (".csv", ".parquet"), (".svg", ".png", ".pdf")


DEFAULTS = ForecastParameters()

Value = TypeVar("Value")


def forecast(
    input: Annotated[Path, Option(help="series to forecast: .parquet, or .csv, .psv, .tsv, also as .gz")],
    output: Annotated[Path, Option(help="table to write, .csv or .parquet")],
    adapter: Annotated[
        Path | None, Option(help="folder `adapter` of a run; without it the model forecasts zero-shot")
    ] = None,
    model: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help=f"base model, by default that of the adapter; one of: {', '.join(variant_names())}",
        ),
    ] = None,
    horizon: Annotated[
        int | None, Option(min=1, help="steps ahead; by default those of the adapter's training")
    ] = None,
    weights: Annotated[
        Path | None,
        Option(
            help="folder of the base weights, or of merged ones, which say what they were trained on; by default "
            "weights/prepared/<model>"
        ),
    ] = None,
    figure: Annotated[Path | None, Option(help="figure to write, .svg, .png or .pdf")] = None,
    context: Annotated[
        int | None, Option(min=1, help="steps to look back on; by default those of the adapter's training")
    ] = None,
    interval_minutes: Annotated[
        int | None,
        Option(
            min=1,
            help="minutes between two steps; by default those of the adapter's training, else the smallest "
            "distance between two times",
        ),
    ] = None,
    scale: Annotated[
        tuple[float, float] | None,
        Option(
            metavar="LOW HIGH",
            help="range that becomes 0 to 1 for the model; by default that of the adapter's training, without an "
            "adapter 0 1",
        ),
    ] = None,
    samples: Annotated[int, Option(help="sample paths a series")] = DEFAULTS.samples,
    quantiles: Annotated[
        list[float] | None,
        Option(metavar="LEVEL", help="a level; give it once for each (default: 0.1 ... 0.9)"),
    ] = None,
    lag_llama_sampler: Annotated[
        Literal["exact", "frozen"], Option(help="how Lag-Llama draws its paths (docs/lag-llama.md)")
    ] = DEFAULTS.lag_llama_sampler,
    batch_size: Annotated[int, Option(help="series at once")] = DEFAULTS.batch_size,
    seed: Annotated[int, Option(help="seed of the sample paths")] = 0,
) -> None:
    """Forecast your own series with a foundation model, as it is or with an adapter that was trained here.

    The input is a CSV or Parquet file with the columns `time` (ISO 8601), `value` and, where there are several,
    `series`; equally spaced, gaps allowed. Names stay as they are written; times with an offset become UTC. The output
    has one row for each series and step ahead: series, time, step, and one column for each quantile (q0.1 ... q0.9),
    in the unit of the input.

    Example:
        python -m workflow_scripts.steps.forecast \\
            --adapter results/simulated/runs/sepsis3/heart_rate/chronos-t5-nano/lora-r2/seed0/adapter \\
            --input series.csv --output forecast.csv --figure forecast.svg
    """
    require_own_file(output, begins=",".join((*COLUMNS, "q")) if output.suffix == ".csv" else "")
    _require_suffix(output, "--output", TABLE_SUFFIXES)
    if figure:
        require_own_file(figure)
        _require_suffix(figure, "--figure", FIGURE_SUFFIXES)
    saved = read_arm(adapter) if adapter else None
    base = saved.base if saved else None
    model = _given(model or base, "--model", "the base model", "--model chronos-t5-nano")
    trained_on = saved.trained_on if saved else read_merged(weights) if weights else None
    if saved and trained_on is None:
        # The model would see values of another size than in training, and say nothing.
        _given(scale, "--scale", "the range that was 0 to 1 in the adapter's training", "--scale 0 300")
    if trained_on:
        context = context or trained_on.context
        horizon = horizon or trained_on.horizon
        interval_minutes = interval_minutes or trained_on.interval_minutes
        scale = scale or (trained_on.scale_low, trained_on.scale_high)
    context = _given(
        context, "--context", "the number of values that a forecast looks back on", "--context 24"
    )
    horizon = _given(horizon, "--horizon", "the number of steps ahead", "--horizon 12")
    check_geometry(variant(model), context, horizon)
    series = read_series(input, context, interval_minutes)
    if trained_on:
        _warn_of_other_spacing(series, trained_on)
    parameters = _parameters(
        samples=samples,
        quantiles=quantiles or DEFAULTS.quantiles,
        lag_llama_sampler=lag_llama_sampler,
        batch_size=batch_size,
    )
    forecasts = forecast_series(
        series, model, weights, adapter, horizon, parameters, Scale(*(scale or ())), seed
    )
    _write_table(output, as_table(series, forecasts, parameters.quantiles))
    print(f"{len(series.names)} series, {horizon} steps ahead: {output}")
    broken = int((~np.isfinite(forecasts).all(axis=(1, 2))).sum())
    if broken:
        print(f"warning: {broken} of them have forecasts that are not finite, left empty in the table")
    if figure:
        title = f"{model}, {saved.arm.name if saved else 'zero-shot'}"
        draw_forecasts(
            figure,
            series.names,
            series.values,
            forecasts,
            parameters.quantiles,
            series.step_seconds,
            title,
            _quantity(trained_on),
        )
        print(f"figure of {min(SHOWN, len(series.names))} series: {figure}")


def _warn_of_other_spacing(series: SeriesTable, trained_on: TrainedOn) -> None:
    """Say where the series has other steps than the adapter's windows, or most of them are empty."""
    minutes = (series.spacing_seconds or series.step_seconds) / 60
    if {minutes, series.step_seconds / 60} != {trained_on.interval_minutes}:
        print(
            f"warning: half of the values are {minutes:g} min or more apart, on steps of "
            f"{series.step_seconds / 60:g} min; the adapter was trained on steps of {trained_on.interval_minutes} min. "
            "Expect larger errors; resample the series, or use an adapter of its interval"
        )


def _given(value: Value | None, option: str, expected: str, example: str) -> Value:
    """The value of an option. Raises UserError where neither the user nor the adapter's folder says it."""
    if value is None:
        found = "not given, and no adapter that says it"
        raise UserError(option, found, expected, f"add for example {example}")
    return value


def _quantity(trained_on: TrainedOn | None) -> str:
    """What the values are, for an axis."""
    if trained_on is None:
        return "value"
    return f"{trained_on.vital.replace('_', ' ')} ({trained_on.unit})"


def _parameters(**options: Any) -> ForecastParameters:
    """The options as parameters. Raises UserError where one is out of its range."""
    try:
        return ForecastParameters(**options)
    except ValidationError as error:
        problem = error.errors()[0]
        option = str(problem["loc"][0]) if problem["loc"] else "samples"
        raise UserError(
            f"--{option.replace('_', '-')}",
            str(options[option]),
            problem["msg"].removeprefix("Value error, "),
            "fix this option",
        ) from None


def forecast_series(
    series: SeriesTable,
    model: str,
    weights: Path | None,
    adapter: Path | None,
    horizon: int,
    parameters: ForecastParameters,
    scale: Scale,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Forecast every series: float32 [series, quantile levels, horizon], in the unit of the series.

    A step is NaN where the model's numbers are not finite.
    weights: folder of the base weights, by default weights/prepared/<model>; adapter: folder of an arm, or None.
    Raises UserError where model, adapter and weights do not belong to each other, and where context or horizon are
    longer than the model allows.
    """
    from workflow_scripts.training import inference

    chosen = variant(model)
    check_covariates(chosen, ())
    check_geometry(chosen, series.values.shape[1], horizon)
    if not scale.high > scale.low:
        raise UserError("--scale", f"{scale.low} to {scale.high}", "a rising range", "give LOW, then HIGH")
    if adapter is not None:
        require_base(adapter, model)
    folder = None if chosen.from_scratch else weights_folder(chosen, weights)
    if adapter is not None and folder is not None:
        require_weights(adapter, folder / WEIGHTS)
    saved = inference.SavedModel(chosen, folder, adapter)
    arrays, numbers = series_arrays(series, horizon, scale), np.arange(len(series.names))
    return inference.forecast_with_saved(saved, arrays, numbers, parameters, seed)


def as_table(series: SeriesTable, quantiles: NDArray[np.float32], levels: list[float]) -> "pd.DataFrame":
    """The forecast as a table: series, time, step and one column for each quantile level."""
    import pandas as pd

    count, _, horizon = quantiles.shape
    columns: dict[str, Any] = {
        "series": np.repeat(np.array(series.names, dtype=object), horizon),
        "time": series.future_times(horizon).reshape(-1),
        "step": np.tile(np.arange(1, horizon + 1), count),
    }
    columns |= {f"q{level:g}": quantiles[:, place].reshape(-1) for place, level in enumerate(levels)}
    return pd.DataFrame(columns)


def _require_suffix(path: Path, option: str, suffixes: tuple[str, ...]) -> None:
    if path.suffix not in suffixes:
        raise UserError(option, str(path), f"a name that ends in {' or '.join(suffixes)}", "rename it")


def _write_table(path: Path, table: "pd.DataFrame") -> None:
    if path.suffix == ".csv":
        # Python's csv quotes a name with a carriage return only where lines end with one.
        line_end = "\r\n" if table["series"].str.contains("\r").any() else "\n"
        with atomic_path(path) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g", lineterminator=line_end)
    else:
        import pyarrow as pa

        write_parquet(path, pa.Table.from_pandas(table, preserve_index=False))


if __name__ == "__main__":
    run_step(forecast)
