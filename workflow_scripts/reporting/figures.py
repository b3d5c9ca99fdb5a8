"""The report's figures, each small enough to be read on a phone and put side by side on a screen."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workflow_scripts.evaluation.aggregation import ArmSummary
from workflow_scripts.evaluation.summary import IntervalRow, arm_position
from workflow_scripts.reporting.attrition import AttritionStep
from workflow_scripts.reporting.examples import Example
from workflow_scripts.reporting.svg import (
    GRID,
    INK,
    MARKERS,
    MUTED,
    PAPER,
    SERIES,
    Drawing,
    draw,
    figure_style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 4.3
"""Inches: about 310 points, which a phone shows at nearly the size of the page's text."""

MOST_RANKED = 30
"""Arms in the figure of mean ranks: more could not be read."""

LOGARITHMIC_FROM = 30
"""Errors whose largest is so many times the smallest are drawn on a logarithmic axis."""


def error_by_arm(
    key: str, title: str, arms: Sequence[ArmSummary], places: Mapping[str, int]
) -> Drawing | None:
    """One row for each arm, one marker for each model; naive references have rows of their own.

    places: the colour and marker of each model. None where every arm failed.
    """
    drawn = [arm for arm in arms if arm.mean("mse") is not None]
    if not drawn:
        return None
    rows = list(dict.fromkeys(_row_name(arm) for arm in sorted(drawn, key=_naive_last)))
    offsets = _row_offsets([arm.first.model for arm in drawn if arm.first.family != "naive"])
    with figure_style():
        figure, axes = _panel(1.0 + len(rows) * max(0.26, 0.07 * len(offsets)))
        for arm in drawn:
            _mark_error(axes, arm, rows.index(_row_name(arm)) + offsets.get(arm.first.model, 0.0), places)
        references = [_scaled_error(arm) for arm in drawn if arm.first.family == "naive"]
        if references:
            axes.axvline(min(references), color=MUTED, linewidth=0.9, linestyle=":")
        axes.set_yticks(range(len(rows)), rows)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="both")
        axes.set_xlabel("MSE × 10⁻⁴")
        _scale_errors(axes, "x", [_scaled_error(arm) for arm in drawn])
        axes.set_title(title)
        return draw(figure, key, title, _ranking(drawn))


def _row_offsets(models: Sequence[str]) -> dict[str, float]:
    """Models share a row side by side: the shift of each, in rows."""
    distinct = list(dict.fromkeys(models))
    steps = max(len(distinct) - 1, 1)
    shift = min(0.11 * (len(distinct) - 1), 0.36)
    return {model: shift * (2 * number / steps - 1) for number, model in enumerate(distinct)}


def _mark_error(axes: "Axes", arm: ArmSummary, row: float, places: Mapping[str, int]) -> None:
    """A marker at the mean over seeds, on a bar from the smallest to the largest."""
    low, high = _scaled_extremes(arm)
    if arm.first.family == "naive":
        axes.plot(_scaled_error(arm), row, "|", color=MUTED, markersize=11, markeredgewidth=1.6)
        return
    colour, marker = _look(places[arm.first.model])
    if high > low:
        axes.plot([low, high], [row, row], color=colour, linewidth=1.2)
    axes.plot(_scaled_error(arm), row, marker, color=colour, markeredgecolor=PAPER, markeredgewidth=0.6)


def error_by_rank(
    key: str, title: str, arms: Sequence[ArmSummary], place: int, intervals: Sequence[IntervalRow] = ()
) -> Drawing | None:
    """Error against the rank of one method and model, with zero-shot and full fine-tuning as lines.

    arms: those of the method, and the model's arms without a rank; a rank that failed leaves a gap with a
    word. The bars are the rows of `intervals` for these arms; without any, they span the seeds. None where no
    rank has a number.
    """
    ranked = [arm for arm in arms if arm.first.rank is not None]
    if all(arm.mean("mse") is None for arm in ranked):
        return None
    lines = {
        arm.first.arm: _scaled_error(arm)
        for arm in arms
        if arm.first.arm in ("zero-shot", "full") and arm.mean("mse") is not None
    }
    ranks = [int(arm.first.rank or 0) for arm in ranked]
    errors = [math.nan if arm.mean("mse") is None else _scaled_error(arm) for arm in ranked]
    ends = {(row.cohort, row.vital, row.model, row.arm): (row.low, row.high) for row in intervals}
    low, high = zip(*(_bar(arm, ends) for arm in ranked), strict=True)
    with figure_style():
        figure, axes = _panel(2.5)
        colour, marker = _look(place)
        axes.vlines(ranks, low, high, color=colour, linewidth=3.5, alpha=0.45)
        axes.plot(ranks, errors, color=colour, marker=marker)
        for name, style in (("zero-shot", "--"), ("full", ":")):
            if name in lines:
                axes.axhline(lines[name], color=INK, linestyle=style, linewidth=1.2)
        _label_ranks(axes, ranks, errors)
        axes.set_ylabel("MSE × 10⁻⁴")
        axes.grid(axis="y")
        _scale_errors(axes, "y", [error for error in (*errors, *lines.values()) if not math.isnan(error)])
        axes.set_title(title)
        _label_lines(axes, lines)
        words = [
            f"rank {rank}: {_words(error)}" + (f" ({bottom:.3g} to {top:.3g})" if top > bottom else "")
            for rank, error, bottom, top in zip(ranks, errors, low, high, strict=True)
        ]
        words += [f"{name}: {_words(value)}" for name, value in lines.items()]
        return draw(figure, key, f"{title}: error against rank", f"MSE times 10^-4. {'; '.join(words)}.")


def _label_ranks(axes: "Axes", ranks: Sequence[int], errors: Sequence[float]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(ranks, [str(rank) for rank in ranks])
    axes.minorticks_off()
    axes.set_xlim(min(ranks) / 1.3, max(ranks) * 1.3)
    axes.set_xlabel("rank")
    for rank, error in zip(ranks, errors, strict=True):
        if math.isnan(error):
            place = axes.get_xaxis_transform()
            axes.text(rank, 0.03, "failed", transform=place, ha="center", fontsize=8, color=MUTED)


def error_by_size(
    key: str, title: str, arms: Sequence[ArmSummary], places: Mapping[str, int]
) -> Drawing | None:
    """Error against trainable parameters, logarithmic; zero-shot, which trains none, stands at 0."""
    drawn = [arm for arm in arms if arm.first.model in places and arm.mean("mse") is not None]
    trained = [arm.first.trainable_parameters for arm in drawn if arm.first.trainable_parameters > 0]
    if not trained:
        return None
    nothing = 10 ** (math.floor(math.log10(min(trained))) - 0.7)
    with figure_style():
        figure, axes = _panel(3.0)
        for model in dict.fromkeys(arm.first.model for arm in drawn):
            colour, marker = _look(places[model])
            own = sorted(
                (arm for arm in drawn if arm.first.model == model),
                key=lambda arm: arm.first.trainable_parameters,
            )
            for method in dict.fromkeys(arm.method for arm in own if arm.first.rank is not None):
                ranked = [arm for arm in own if arm.first.rank is not None and arm.method == method]
                axes.plot(
                    [arm.first.trainable_parameters for arm in ranked],
                    [_scaled_error(arm) for arm in ranked],
                    color=colour,
                    marker=marker,
                    markeredgecolor=PAPER,
                    markeredgewidth=0.6,
                )
            plain = [arm for arm in own if arm.first.rank is None]
            axes.plot(
                [arm.first.trainable_parameters or nothing for arm in plain],
                [_scaled_error(arm) for arm in plain],
                marker,
                color=colour,
                markerfacecolor="none",
                markeredgewidth=1.6,
            )
        axes.set_xscale("log")
        axes.set_xlim(nothing / 1.6, max(trained) * 2)
        first = math.ceil(math.log10(min(trained)) - 0.5)
        powers = range(first, math.floor(math.log10(max(trained) * 2)) + 1)
        axes.set_xticks(
            [nothing, *(10.0**power for power in powers)], ["0", *(_count(10**power) for power in powers)]
        )
        axes.minorticks_off()
        axes.axvline(nothing * 2.2, color=GRID, linestyle=(0, (2, 3)), linewidth=1)
        axes.set_xlabel("trainable parameters")
        axes.set_ylabel("MSE × 10⁻⁴")
        axes.grid(axis="y")
        _scale_errors(axes, "y", [_scaled_error(arm) for arm in drawn])
        axes.set_title(title)
        return draw(figure, key, title, _ranking(drawn))


def mean_ranks(
    key: str, title: str, rows: Sequence[IntervalRow], places: Mapping[str, int]
) -> Drawing | None:
    """The arms by their mean rank over patients; shaded is what is not told apart from the best.

    rows: one metric of one cohort and vital sign. None where fewer than two arms are ranked.
    """
    ranked = sorted((row for row in rows if row.mean_rank is not None), key=lambda row: row.mean_rank or 0.0)
    drawn = ranked[:MOST_RANKED]
    if len(drawn) < 2:
        return None
    values = [row.mean_rank or 0.0 for row in drawn]
    reach = values[0] + (drawn[0].critical_difference or 0.0)
    with figure_style():
        figure, axes = _panel(1.0 + 0.21 * len(drawn))
        axes.axvspan(values[0], reach, color=GRID, linewidth=0, zorder=0)
        for line, (row, value) in enumerate(zip(drawn, values, strict=True)):
            colour, marker = _look(places[row.model]) if row.model in places else (MUTED, "|")
            axes.plot(value, line, marker, color=colour, markeredgewidth=0.6 if row.model in places else 1.6)
        names = [row.model if row.arm == "fit" else f"{row.model}, {row.arm}" for row in drawn]
        axes.set_yticks(range(len(drawn)), names, fontsize=8)
        axes.set_ylim(len(drawn) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y")
        axes.set_xlabel("mean rank over patients, 1 is best")
        axes.set_title(title)
        words = [f"{name} {value:.2f}" for name, value in zip(names, values, strict=True)]
        near = sum(value <= reach for value in values) - 1
        description = (
            f"Mean ranks over patients, best first: {'; '.join(words)}. "
            f"{near} arms lie within the critical difference of the best, {reach - values[0]:.2f}."
        )
        return draw(figure, key, title, description)


def example_forecast(key: str, example: Example, unit: str, place: int) -> Drawing:
    """One test window: what was observed before and after the forecast's start, median and 80 % interval."""
    from matplotlib.ticker import MaxNLocator

    with figure_style():
        figure, axes = _panel(2.5)
        colour, _ = _look(place)
        axes.fill_between(
            example.forecast_hours, example.low, example.high, color=colour, alpha=0.25, linewidth=0
        )
        axes.plot(example.forecast_hours, example.median, color=colour)
        axes.plot(example.context_hours, example.context, color=MUTED, linewidth=1.1)
        axes.plot(example.forecast_hours, example.truth, "o", color=INK, markersize=3.2)
        axes.axvline(example.start_hours, color=MUTED, linewidth=0.8, linestyle=":")
        axes.set_xlabel("hours from the forecast's start")
        axes.set_ylabel(unit)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 3, 6, 10]))
        axes.grid(axis="y")
        axes.set_title(f"{example.name}: MAE {example.error:.1f} {unit}")
        description = (
            f"Forecast over {len(example.median)} steps with a mean absolute error of {example.error:.1f} "
            f"{unit}; {example.covered} of {example.observed} observed values lie within the 80 % interval."
        )
        return draw(figure, key, f"Example forecast, {example.name}", description)


def attrition_bars(key: str, cohort: str, steps: Sequence[AttritionStep]) -> Drawing:
    """ICU stays left after each inclusion step."""
    with figure_style():
        figure, axes = _panel(0.6 + 0.3 * len(steps))
        stays = [step.stays for step in steps]
        axes.barh(range(len(steps)), stays, height=0.62, color=SERIES[0], alpha=0.85)
        for row, step in enumerate(steps):
            axes.text(step.stays + max(stays) * 0.015, row, f"{step.stays:,}", va="center", fontsize=8.5)
        axes.set_yticks(range(len(steps)), [step.label for step in steps])
        axes.set_ylim(len(steps) - 0.5, -0.5)
        axes.set_xlim(0, max(stays) * 1.18 or 1)
        axes.tick_params(axis="y", length=0)
        axes.spines["bottom"].set_visible(False)
        axes.set_xticks([])
        axes.set_title("ICU stays left after each step")
        words = "; ".join(f"{step.label}: {step.stays:,} stays" for step in steps)
        return draw(figure, key, f"Attrition of the cohort {cohort}", f"{words}.")


def _panel(height: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.subplots()


def _look(place: int) -> tuple[str, str]:
    """Colour and marker of the model at a place; after the last colour they begin again, shifted."""
    return SERIES[place % len(SERIES)], MARKERS[(place + place // len(SERIES)) % len(MARKERS)]


def _row_name(arm: ArmSummary) -> str:
    return arm.first.model if arm.first.family == "naive" else arm.first.arm


def _naive_last(arm: ArmSummary) -> tuple[bool, tuple[int, str, int]]:
    return arm.first.family == "naive", arm_position(arm.first.arm)


def _scaled_error(arm: ArmSummary) -> float:
    return (arm.mean("mse") or 0.0) * 1e4


def _scaled_extremes(arm: ArmSummary) -> tuple[float, float]:
    low, high = arm.extremes("mse") or (0.0, 0.0)
    return low * 1e4, high * 1e4


def _bar(arm: ArmSummary, ends: Mapping[Any, tuple[float | None, float | None]]) -> tuple[float, float]:
    """The ends of an arm's interval; of its seeds where there are no intervals at all."""
    if not ends:
        return _scaled_extremes(arm)
    run = arm.first
    low, high = ends.get((run.cohort, run.vital, run.model, run.arm), (None, None))
    return (math.nan, math.nan) if low is None or high is None else (low * 1e4, high * 1e4)


def _scale_errors(axes: "Axes", side: str, errors: Sequence[float]) -> None:
    smallest = min((error for error in errors if error > 0), default=0.0)
    if smallest and max(errors) / smallest > LOGARITHMIC_FROM:
        axes.set(**{f"{side}scale": "log"})


def _label_lines(axes: "Axes", lines: Mapping[str, float]) -> None:
    """Name the lines at the right edge, apart enough to be read where they nearly meet."""
    transform = axes.transData + axes.transAxes.inverted()
    heights = {name: transform.transform((1, value))[1] for name, value in lines.items()}
    previous = -math.inf
    for name in sorted(heights, key=lambda name: heights[name]):
        previous = max(heights[name], previous + 0.09)
        axes.annotate(name, (1.01, previous), xycoords="axes fraction", va="center", fontsize=8.5)


def _count(number: int) -> str:
    """A power of ten in a few characters: 1k, 100k, 1M."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number // size}{letter}"
    return str(number)


def _words(error: float) -> str:
    return "failed" if math.isnan(error) else f"{error:.3g}"


def _ranking(arms: Sequence[ArmSummary]) -> str:
    """The figure in a sentence: its smallest and its largest error."""
    ordered = sorted(arms, key=_scaled_error)
    best, worst = ordered[0], ordered[-1]
    return (
        f"{len(arms)} arms, MSE times 10^-4. "
        f"Smallest: {best.first.model} {best.first.arm}, {_words(_scaled_error(best))}; "
        f"largest: {worst.first.model} {worst.first.arm}, {_words(_scaled_error(worst))}."
    )
