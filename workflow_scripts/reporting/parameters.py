"""Settings of the report."""

from typing import Literal

from pydantic import Field

from workflow_scripts.runtime.parameters import Parameters


class ReportParameters(Parameters):
    """What the report shows."""

    examples: Literal["open", "always", "never"] = Field(
        "open",
        description="forecasts of single test windows, in relative hours and without ids: of open data sets only, "
        "of every data set (then the report holds patients' data and is as confidential as they are), or never",
    )
    most_lines: int = Field(
        40,
        ge=5,
        description="arms in the first table of a cohort; where there are more, it keeps each method's best rank, and "
        "all arms are in a table that unfolds",
    )
