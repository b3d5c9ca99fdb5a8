"""The base of every settings model: unknown keys refused, values immutable."""

from pydantic import BaseModel, ConfigDict, Field


class Parameters(BaseModel):
    """A group of settings in params.yaml. Every field has a default and a description."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TrackingParameters(Parameters):
    """Where MLflow keeps the runs. What is chosen here changes no result."""

    uri: str = Field(
        "sqlite:///mlflow.db",
        description="MLflow tracking URI; the default is what a bare `mlflow ui` shows; empty: no tracking",
    )
    private: bool = Field(
        False,
        description="whether only people who may use the data can reach the store: adapters trained on credentialed "
        "data are registered as models only then",
    )
