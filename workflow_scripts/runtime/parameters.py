"""The base of every settings model: unknown keys refused, values immutable."""

from typing import Self
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator


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

    @model_validator(mode="after")
    def _without_password(self) -> Self:
        """The address is in settings files and on command lines. The whole group is checked: a message repeats
        the value of a single field."""
        if holds_password(self.uri):
            raise ValueError(
                "uri holds a password: leave it out and write it to ~/.mlflow/credentials, for PostgreSQL to ~/.pgpass "
                "(docs/tracking-server.md)"
            )
        return self


def holds_password(uri: str) -> bool:
    """Whether an address of a server or a database names a password."""
    parts = urlsplit(uri)
    return parts.password is not None or "password" in parse_qs(parts.query, keep_blank_values=True)
