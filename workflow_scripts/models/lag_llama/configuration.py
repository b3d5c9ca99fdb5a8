"""The architecture's settings, named as upstream names them, and the published and embedded sizes."""

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.parameters import Parameters

DEFAULT_LAGS = (
    *(0, 7, 8, 10, 11, 12, 13, 14, 19, 20, 21, 22, 23, 24, 26, 27, 28, 29, 30, 34, 35, 36, 46, 47, 48),
    *(50, 51, 52, 55, 57, 58, 59, 60, 61, 70, 71, 72, 83, 94, 95, 96, 102, 103, 104, 117, 118, 119, 120),
    *(121, 142, 143, 144, 154, 155, 156, 166, 167, 168, 177, 178, 179, 180, 181, 334, 335, 336, 362, 363),
    *(364, 502, 503, 504, 670, 671, 672, 718, 719, 720, 726, 727, 728, 1090, 1091, 1092),
)
"""The released model's 84 lags (0 is the current value): upstream's union over Q, M, W, D, H, T and S.

They are data here because upstream derives them from frequency names that pandas keeps renaming.
"""


class RopeScaling(Parameters):
    """How rotary positions are stretched beyond the trained context."""

    type: Literal["linear", "dynamic", "nope"]
    factor: float = Field(1.0, ge=1, description="linear: positions are divided by it; dynamic: NTK factor")


class LagLlamaConfiguration(Parameters):
    """Everything that, beside the weights, decides what the network computes.

    The defaults are the released checkpoint's settings, not those of upstream's estimator.
    """

    n_layer: int = Field(ge=1, description="transformer blocks")
    n_head: int = Field(ge=1, description="attention heads")
    n_embd_per_head: int = Field(ge=2, description="width of one head; even, for rotary pairs")
    context_length: int = Field(32, ge=1, description="tokens before the first forecast step")
    max_context_length: int = Field(
        2048, ge=1, description="longest window; only dynamic rope_scaling goes beyond"
    )
    scaling: Literal["robust", "mean", "std", "none"] = Field("robust", description="how a row is scaled")
    time_feat: bool = Field(True, description="six calendar features for each token")
    rope_scaling: RopeScaling | None = Field(None, description="None: plain rotary positions")
    missing_as: Literal["zero", "location"] = Field(
        "zero", description="the value used where nothing was observed, before scaling; upstream: zero"
    )
    lags: tuple[int, ...] = Field(DEFAULT_LAGS, description="rising lags; 0 is the current value")

    @field_validator("lags")
    @classmethod
    def _rising_lags(cls, lags: tuple[int, ...]) -> tuple[int, ...]:
        if not lags or lags[0] < 0 or tuple(sorted(set(lags))) != lags:
            raise ValueError("must be rising whole numbers from 0 on, at least one")
        return lags

    @model_validator(mode="after")
    def _rotary_positions(self) -> Self:
        if self.n_embd_per_head % 2:
            raise ValueError("n_embd_per_head must be even")
        if self.stretches and self.n_embd_per_head < 4:
            raise ValueError("dynamic rope_scaling needs n_embd_per_head of at least 4")
        if self.context_length > self.max_context_length and not self.stretches:
            raise ValueError("context_length above max_context_length needs dynamic rope_scaling")
        return self

    @property
    def stretches(self) -> bool:
        """Whether rotary positions change where a window becomes longer than `max_context_length`."""
        return self.rope_scaling is not None and self.rope_scaling.type == "dynamic"

    @property
    def width(self) -> int:
        """Width of the residual stream."""
        return self.n_head * self.n_embd_per_head

    @property
    def hidden_width(self) -> int:
        """Width of the feed-forward layer: two thirds of 4 x width, rounded up to a multiple of 256."""
        return math.ceil(2 * 4 * self.width // 3 / 256) * 256

    @property
    def token_width(self) -> int:
        """Features of one token: lags, the row's location and scale, the calendar."""
        return len(self.lags) + 2 + (6 if self.time_feat else 0)

    @property
    def past_length(self) -> int:
        """Points of the past that are used: the context and the largest lag before it."""
        return self.context_length + self.lags[-1]

    @property
    def gap(self) -> float:
        """What a value that was not observed counts as: 0, or NaN where tokens put the location."""
        return 0.0 if self.missing_as == "zero" else math.nan

    @classmethod
    def parse(cls, settings: Mapping[str, Any], where: str) -> Self:
        """Check settings as read from `where` (a file, or the name of a variant).

        Raises UserError naming every setting that is missing, unknown or impossible.
        """
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            problems = (
                ".".join(map(str, problem["loc"])) + ": " + problem["msg"] for problem in error.errors()
            )
            raise UserError(
                where,
                found="; ".join(problems),
                expected="the settings of a Lag-Llama architecture: " + ", ".join(cls.model_fields),
                remedy="correct the settings, or prepare the model's weights again",
            ) from None
