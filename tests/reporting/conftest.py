"""Makes the run-record factory of tests/evaluation importable here; the whole study that most tests read."""

import pytest


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """Two vital signs, two foundation models in four arms, one from scratch, two baselines; every table."""
    from tests.reporting.fabricated_study import ARMS, MODELS, SCRATCH, fabricate_study

    folder = tmp_path_factory.mktemp("study")
    return fabricate_study(folder, models=MODELS[:2], arms=ARMS[:4], scratch=SCRATCH[:1])


@pytest.fixture(scope="session")
def report(study):
    from tests.reporting.report_page import report_of

    return report_of(study)


@pytest.fixture(scope="session")
def page(report):
    from tests.reporting.report_page import Page

    return Page(report.html)
