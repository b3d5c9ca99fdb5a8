"""What the report says of a study: its sections in the order of a reader's questions."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from workflow_scripts.evaluation.summary import RunRow
from workflow_scripts.reporting.charts import Figure
from workflow_scripts.reporting.page import Section
from workflow_scripts.reporting.sections.answer import answer_section
from workflow_scripts.reporting.sections.breakdown import group_section, horizon_section, onset_section
from workflow_scripts.reporting.sections.calibration import calibration_section
from workflow_scripts.reporting.sections.caveats import caveats
from workflow_scripts.reporting.sections.cohorts import cohort_section
from workflow_scripts.reporting.sections.costs import cost_section
from workflow_scripts.reporting.sections.data_checks import data_check_section
from workflow_scripts.reporting.sections.domains import domain_section
from workflow_scripts.reporting.sections.events import event_section
from workflow_scripts.reporting.sections.fans import fan_section
from workflow_scripts.reporting.sections.findings import finding_section
from workflow_scripts.reporting.sections.gaps import gap_section
from workflow_scripts.reporting.sections.headline import headline_section
from workflow_scripts.reporting.sections.leaderboard import leaderboard_section
from workflow_scripts.reporting.sections.pareto import pareto_section
from workflow_scripts.reporting.sections.provenance import provenance_section
from workflow_scripts.reporting.sections.ranks import rank_section
from workflow_scripts.reporting.study import Sources, Study, collect_study

BODY = (
    headline_section,
    leaderboard_section,
    event_section,
    rank_section,
    pareto_section,
    fan_section,
    calibration_section,
    horizon_section,
    onset_section,
    group_section,
    domain_section,
    cohort_section,
    data_check_section,
    finding_section,
    cost_section,
)


@dataclass(frozen=True)
class Contents:
    """The study, the limits of its runs, the answer, and all other sections."""

    study: Study
    caveats: Sequence[str]
    answer: Section
    sections: Sequence[Section]

    @property
    def figures(self) -> list[Figure]:
        """All figures, in the order of the sections."""
        return [figure for section in self.sections for figure in section.figures]


def collect_contents(rows: Sequence[RunRow], sources: Sources) -> Contents:
    """Return every section of the report.

    Raises UserError where a windows file, the shown forecasts or the latest run's record are missing or broken.
    """
    study = collect_study(rows, sources)
    with _unchecked():
        body = [section(study) for section in BODY]
    sections = [*body, provenance_section(study), gap_section(study, body)]
    return Contents(study, caveats(study), answer_section(study), sections)


def _unchecked() -> AbstractContextManager[Any]:
    """Leave out Altair's check of every step of every chart, which would take most of the time: a test does it."""
    from altair.utils import schemapi

    return schemapi.debug_mode(False)
