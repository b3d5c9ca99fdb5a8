"""Settings of a data set: where it is and how it is read."""

from typing import Any

from pydantic import ConfigDict, Field

from workflow_scripts.runtime.parameters import Parameters


class SourceParameters(Parameters):
    """One entry of `sources:`. Further keys are options of the format, which checks them itself."""

    model_config = ConfigDict(extra="allow")

    format: str = Field(
        "", description="how the files are read; empty: as datasets.yaml says, or your own tables"
    )
    path: str = Field("", description="folder or archive of the raw files; empty: data/raw/<name>")

    @property
    def options(self) -> dict[str, Any]:
        """The options of the format, unchecked."""
        return dict(self.model_extra or {})
