"""The parts of Lag-Llama against numbers made with upstream's own modules.

Expected values: lag_llama_fixtures/units, made with lag-llama commit 013ff0c (gluonts 0.17.0, torch 2.13.0).
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from workflow_scripts.models.lag_llama.configuration import DEFAULT_LAGS, LagLlamaConfiguration
from workflow_scripts.models.lag_llama.network import RMSNorm, domain_map, rotary_tables, rotate
from workflow_scripts.models.lag_llama.scaling import SCALERS
from workflow_scripts.models.lag_llama.student_t import StudentT
from workflow_scripts.models.lag_llama.tokens import (
    assemble_tokens,
    calendar_features,
    lag,
    lag_positions,
    window_calendar,
)
from workflow_scripts.runtime.errors import UserError

UNITS = Path(__file__).parent / "lag_llama_fixtures" / "units"
STEPS = {"h": 3600, "D": 86400, "15min": 900, "s": 1, "min": 60, "6h": 21600, "2D": 172800}


def epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def configuration(**changes: object) -> LagLlamaConfiguration:
    sizes = {"n_layer": 1, "n_head": 1, "n_embd_per_head": 16, **changes}
    return LagLlamaConfiguration.parse(sizes, where="test")


def test_the_84_lags_are_those_of_upstreams_default_frequencies() -> None:
    lags = json.loads((UNITS / "lags.json").read_text())
    assert list(DEFAULT_LAGS) == next(value for value in lags.values() if len(value) == 84)


@pytest.mark.parametrize("length", [40, 41])
@pytest.mark.parametrize("name", ["robust", "mean", "std", "none"])
def test_a_scaler_equals_upstreams_on_rows_of_every_kind(name: str, length: int) -> None:
    unit = load_file(UNITS / f"scalers_T{length}.safetensors")
    loc, scale = SCALERS[name](unit["data"], unit["observed"].bool())
    torch.testing.assert_close(loc[:, 0], unit[f"{name}_loc"], rtol=1e-6, atol=0)
    torch.testing.assert_close(scale[:, 0], unit[f"{name}_scale"], rtol=1e-6, atol=0)


def test_robust_scaling_is_equal_to_the_last_bit() -> None:
    for length in (40, 41):
        unit = load_file(UNITS / f"scalers_T{length}.safetensors")
        loc, scale = SCALERS["robust"](unit["data"], unit["observed"].bool())
        assert torch.equal(loc[:, 0], unit["robust_loc"])
        assert torch.equal(scale[:, 0], unit["robust_scale"])


def test_rms_norm_equals_upstreams_also_where_the_epsilon_matters() -> None:
    unit = load_file(UNITS / "rmsnorm.safetensors")
    norm = RMSNorm(24)
    norm.scale.data = unit["gain"]
    torch.testing.assert_close(norm(unit["x"]), unit["y"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("width", [8, 16])
@pytest.mark.parametrize(
    ("key", "length", "longest", "scaling"),
    [
        ("plain", 44, 2048, None),
        ("linear_2.375", 44, 2048, {"type": "linear", "factor": 2.375}),
        ("dynamic_2.0_max16_len24", 24, 16, {"type": "dynamic", "factor": 2.0}),
        ("dynamic_2.0_max64_len24", 24, 64, {"type": "dynamic", "factor": 2.0}),
    ],
)
def test_rotary_tables_equal_upstreams(
    width: int, key: str, length: int, longest: int, scaling: dict[str, object] | None
) -> None:
    unit = load_file(UNITS / "rope.safetensors")
    settings = configuration(n_embd_per_head=width, max_context_length=longest, rope_scaling=scaling)
    tables = rotary_tables(settings, length)
    assert tables is not None
    for table, name in zip(tables, ("cos", "sin"), strict=True):
        expected = unit[f"dim{width}_{key}_{name}"].clone()
        if name == "sin":
            # The sign with which a swapped half enters stands in our table, not in the swap.
            expected[:, : width // 2] *= -1
        torch.testing.assert_close(table, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("width", [8, 16])
def test_queries_and_keys_are_rotated_as_upstream_rotates_them(width: int) -> None:
    unit = load_file(UNITS / "rope.safetensors")
    tables = rotary_tables(configuration(n_embd_per_head=width, n_head=3), 44)
    assert tables is not None
    for name in ("q", "k"):
        side_by_side = unit[f"dim{width}_{name}"].transpose(1, 2).flatten(2)
        rotated = rotate(side_by_side, 3, tables).unflatten(-1, (3, width)).transpose(1, 2)
        torch.testing.assert_close(rotated, unit[f"dim{width}_{name}_rot"], rtol=0, atol=1e-6)


def test_nope_means_no_rotation() -> None:
    assert rotary_tables(configuration(rope_scaling={"type": "nope"}), 8) is None


@pytest.mark.parametrize(
    "case",
    [case for case in json.loads((UNITS / "time_features.json").read_text()) if case["freq"] in STEPS],
    ids=lambda case: case["freq"],
)
def test_calendar_features_equal_those_of_pandas_periods(case: dict[str, object]) -> None:
    expected = load_file(UNITS / "time_features.safetensors")[str(case["key"])]
    step = STEPS[str(case["freq"])]
    seconds = epoch(str(case["start"])) + step * torch.arange(len(expected))
    torch.testing.assert_close(calendar_features(seconds), expected, rtol=0, atol=1e-6)


def test_calendar_features_equal_the_standard_library_over_six_centuries() -> None:
    """Every 97th hour from 1800 to 2400: negative epochs, and century years with and without a leap day."""
    seconds = torch.arange(epoch("1800-01-01"), epoch("2400-01-01"), 97 * 3600 + 61)
    moments = [datetime.fromtimestamp(second, UTC) for second in seconds.tolist()]
    fields = torch.tensor(
        [(m.second, m.minute, m.hour, m.weekday(), m.day - 1, m.timetuple().tm_yday - 1) for m in moments]
    )
    expected = fields.double() / torch.tensor([59, 59, 23, 6, 30, 365]) - 0.5
    torch.testing.assert_close(calendar_features(seconds), expected.float(), rtol=0, atol=1e-7)


WINDOWING = json.loads((UNITS / "windowing.json").read_text())


@pytest.mark.parametrize("series", WINDOWING["series"], ids=lambda series: f"{series['length']} points")
def test_virtual_padding_gives_the_tokens_of_upstreams_padded_arrays(series: dict[str, object]) -> None:
    """The tokens are gathered by hand from the padded arrays that upstream's transformation made."""
    unit, index = load_file(UNITS / "windowing.safetensors"), series["i"]
    past, observed = unit[f"past_target_{index}"][None], unit[f"past_observed_values_{index}"][None].bool()
    lags, tokens = WINDOWING["config"]["lags_seq"], WINDOWING["config"]["context_length"]
    loc, scale = SCALERS["robust"](past, observed)
    scaled = (past - loc) / scale
    expected = torch.stack(
        [torch.stack([scaled[0, lags[-1] + token - lag] for lag in lags]) for token in range(tokens)]
    )

    raw = unit[f"raw_{index}"][None, -past.shape[1] :]
    values = raw.nan_to_num(nan=0.0)
    own_loc, own_scale = SCALERS["robust"](values, ~raw.isnan())
    positions = lag_positions(values.shape[1], tokens, torch.tensor(lags))
    assembled = assemble_tokens(lag(values, 0.0, positions), own_loc, own_scale, None)
    assert torch.equal(assembled[0, :, : len(lags)], expected)
    statistics = torch.tensor([loc.abs().log1p().item(), scale.log().item()])
    torch.testing.assert_close(assembled[0, :, len(lags) :], statistics.expand(tokens, 2))


@pytest.mark.parametrize("series", WINDOWING["series"][:2], ids=["hourly", "daily"])
def test_the_window_s_calendar_runs_on_into_the_horizon(series: dict[str, object]) -> None:
    unit, index = load_file(UNITS / "windowing.safetensors"), series["i"]
    length, context = int(str(series["length"])), WINDOWING["config"]["context_length"]
    expected = torch.cat([unit[f"past_time_feat_{index}"][-context:], unit[f"future_time_feat_{index}"]])
    start = torch.tensor([epoch(str(series["start"]))])
    step = STEPS[str(series["freq"])]
    features = window_calendar(start, step, length - context, len(expected))
    torch.testing.assert_close(features[0], expected, rtol=0, atol=1e-6)


def test_the_calendar_of_padding_is_zero() -> None:
    """Three quarterly points before a window of 16: upstream's first 13 rows are zero."""
    unit = load_file(UNITS / "windowing.safetensors")
    assert not unit["past_time_feat_3"][-16:-3].any()
    features = window_calendar(torch.tensor([0]), 3600, 3 - 16, 16)
    assert not features[0, :-3].any()
    assert features[0, -3:].any(dim=1).all()


def student_t_unit() -> tuple[dict[str, Tensor], StudentT]:
    unit = load_file(UNITS / "student_t.safetensors")
    return unit, StudentT(*domain_map(*unit["raw"]), row_loc=unit["loc"], row_scale=unit["scale"])


def test_the_domain_map_equals_upstreams_also_for_extreme_outputs() -> None:
    unit, distribution = student_t_unit()
    torch.testing.assert_close(distribution.df, unit["df"], rtol=1e-6, atol=0)
    torch.testing.assert_close(distribution.loc, unit["param_loc"], rtol=0, atol=0)
    torch.testing.assert_close(distribution.scale, unit["param_scale"], rtol=1e-6, atol=0)


def test_the_density_equals_upstreams() -> None:
    unit, distribution = student_t_unit()
    likelihood = -distribution.negative_log_likelihood(unit["y"])
    torch.testing.assert_close(likelihood, unit["log_prob"], rtol=1e-6, atol=2e-5)


def test_the_median_is_upstreams_mean() -> None:
    """A Student-t distribution is symmetric; its extreme rows have a mean too, though no finite variance."""
    unit, distribution = student_t_unit()
    median = distribution.quantile(torch.full((64,), 0.5, dtype=torch.float64))
    torch.testing.assert_close(median.float(), unit["mean"], rtol=1e-6, atol=1e-6)
    assert unit["variance"].isinf().any()


def test_quantiles_with_two_degrees_of_freedom_follow_the_closed_form() -> None:
    """t = (2u - 1) / sqrt(2u(1 - u)), the known inverse for df = 2, from far tail to far tail."""
    levels = torch.tensor([[1e-12, 1e-6, 0.01, 0.3, 0.5, 0.7, 0.99, 1 - 1e-6]], dtype=torch.float64)
    one = torch.ones(1, 1)
    values = StudentT(2 * one, 0 * one, one, 5 * one, 3 * one).quantile(levels)
    expected = 5 + 3 * (2 * levels - 1) / (2 * levels * (1 - levels)).sqrt()
    torch.testing.assert_close(values, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "settings",
    [
        {"n_layer": 0},
        {"n_embd_per_head": 7},
        {"n_embd_per_head": 2, "rope_scaling": {"type": "dynamic", "factor": 2.0}},
        {"rope_scaling": {"type": "yarn", "factor": 2.0}},
        {"rope_scaling": {"type": "linear", "factor": 0.5}},
        {"scaling": "minmax"},
        {"context_length": 33, "max_context_length": 32},
        {"lags": [3, 1]},
        {"lags": []},
        {"lags": [-1, 0]},
        {"dropout": 0.1},
    ],
    ids=str,
)
def test_an_impossible_architecture_is_refused_by_the_setting_s_name(settings: dict[str, object]) -> None:
    with pytest.raises(UserError) as error:
        configuration(**settings)
    assert next(reversed(settings)) in str(error.value)
