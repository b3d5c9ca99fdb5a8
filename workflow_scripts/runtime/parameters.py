"""The base of every settings model: unknown keys refused, values immutable."""

from pydantic import BaseModel, ConfigDict


class Parameters(BaseModel):
    """A group of settings in params.yaml. Every field has a default and a description."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
