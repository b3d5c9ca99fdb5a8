"""The one arm of a baseline, which has nothing to adapt."""

from workflow_scripts.adaptation.method import Method


class Baseline(Method):
    """A forecast computed from the context alone, as last value carried forward."""

    name = "baseline"
    label = "baseline"
    trains = False
    model_kind = "baseline"


METHOD = Baseline()
