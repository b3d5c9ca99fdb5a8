"""Settings of the intervals, comparisons, rank thresholds and findings."""

from pydantic import Field

from workflow_scripts.runtime.parameters import Parameters


class EvaluationParameters(Parameters):
    """How sure the numbers are. docs/statistics.md says what is done with each."""

    resamples: int = Field(
        5000,
        ge=200,
        description="bootstrap resamples of patients; a family of m comparisons needs at least 40 m for Holm's "
        "correction to find any at 5 %",
    )
    seed: int = Field(0, ge=0, description="seed of the resamples")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="confidence of all intervals")
    minimum_patients: int = Field(
        10, ge=2, description="test patients below which no interval and no p-value is given"
    )
    baseline: str = Field(
        "persistence",
        description="the model or baseline that skill scores of the leaderboard are measured against; one that is "
        "not in the study gives none",
    )
    rank_margin: float = Field(
        0.01, ge=0, description="a rank is good enough within this share of the best rank's error"
    )
    close_margin: float = Field(
        0.05,
        ge=0,
        description="`very close` and `near` in the paper's findings: within this share of the other's error",
    )
    minimum_seeds: int = Field(
        3, ge=1, description="seeds below which a finding about trained arms counts as not tested"
    )
