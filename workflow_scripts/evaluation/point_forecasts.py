"""Which arms forecast a point, whose intervals, coverage and probabilities mean nothing."""

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.models.registry import is_point_forecast


def forecasts_a_point(model: str, arm: Arm) -> bool:
    """Whether a model gives one value a step under this arm: a loss of quantiles makes it give more."""
    return is_point_forecast(model) and not arm.definition.forecasts_quantiles
