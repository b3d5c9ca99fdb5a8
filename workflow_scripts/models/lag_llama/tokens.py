"""What the network sees of a series: one token for each time step of the window."""

import torch
from torch import Tensor
from torch.nn import functional

_DAY = 86400


def calendar_features(seconds: Tensor) -> Tensor:
    """Second, minute, hour, weekday, day of month and day of year, each scaled to [-0.5, 0.5].

    seconds: int64 of any shape, since 1970-01-01. Returns float32 with a last dimension of 6.
    The instant itself is described; upstream describes the end of a period, which is the same for steps up
    to a day, while its weekly and longer periods carry the date of their last day.
    """
    days, second_of_day = seconds.div(_DAY, rounding_mode="floor"), seconds.remainder(_DAY)
    day_of_month, day_of_year = _day_of_month_and_year(days)
    fields = (
        (second_of_day % 60, 59),
        (second_of_day // 60 % 60, 59),
        (second_of_day // 3600, 23),
        # 1970-01-01 was a Thursday, and Monday counts as 0.
        ((days + 3).remainder(7), 6),
        (day_of_month - 1, 30),
        (day_of_year - 1, 365),
    )
    return torch.stack([field.double() / largest - 0.5 for field, largest in fields], dim=-1).float()


def _day_of_month_and_year(days: Tensor) -> tuple[Tensor, Tensor]:
    """Proleptic Gregorian calendar by whole-number arithmetic (H. Hinnant, civil_from_days).

    Years begin in March there, so that the leap day is the last day of a year.
    """
    since_era = (days + 719_468).remainder(146_097)
    year_of_era = (since_era - since_era // 1460 + since_era // 36_524 - since_era // 146_096) // 365
    since_march = since_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * since_march + 2) // 153
    day_of_month = since_march - (153 * month_from_march + 2) // 5 + 1
    leap = (year_of_era % 4 == 0) & ((year_of_era % 100 != 0) | (year_of_era % 400 == 0))
    # From January on, the calendar year is the next one and began 306 days after its first of March.
    day_of_year = torch.where(since_march >= 306, since_march - 305, since_march + 60 + leap.long())
    return day_of_month, day_of_year


def lag_positions(length: int, tokens: int, lags: Tensor) -> Tensor:
    """The index in a row of each lag of the last `tokens` time steps, int64 [tokens, lags]; -1 is padding."""
    newest = torch.arange(length - tokens, length, device=lags.device)
    return (newest[:, None] - lags).clamp(min=-1)


def lag(values: Tensor, padding: float, positions: Tensor) -> Tensor:
    """The values at these positions, from `lag_positions`; [rows, tokens, lags].

    values: float32 [rows, time]. padding: stands for all values before a row, whose number thus costs nothing.
    """
    padded = functional.pad(values, (1, 0), value=padding)
    return padded.index_select(1, positions.flatten() + 1).unflatten(1, positions.shape)


def assemble_tokens(lagged: Tensor, loc: Tensor, scale: Tensor, calendar: Tensor | None) -> Tensor:
    """Lagged scaled values, the row's log location and log scale, and the calendar, in this order.

    lagged: float32 [rows, tokens, lags]; NaN stands for the location. loc, scale: [rows, 1].
    calendar: [rows, tokens, 6] or None. Returns [rows, tokens, features].
    """
    scaled = (lagged - loc[:, None]).div_(scale[:, None]).nan_to_num_(nan=0.0)
    statistics = torch.cat([loc.abs().log1p(), scale.log()], dim=1)
    statistics = statistics[:, None].expand(-1, lagged.shape[1], -1)
    return torch.cat([scaled, statistics] if calendar is None else [scaled, statistics, calendar], dim=-1)


def window_calendar(start: Tensor, step: int, first: int, tokens: int) -> Tensor:
    """Calendar features of the tokens from time index `first` on, [batch, tokens, 6].

    start: int64 [batch], seconds since the epoch at time index 0. Tokens before it are padding, all zero.
    """
    index = torch.arange(first, first + tokens, device=start.device)
    features = calendar_features(start[:, None] + step * index)
    return features * (index >= 0)[:, None]
