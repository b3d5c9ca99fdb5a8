"""No training: the base model as it is."""

from workflow_scripts.adaptation.method import Method


class ZeroShot(Method):
    """Nothing trains and nothing is stored."""

    name = "zero-shot"
    label = "zero-shot"
    trains = False


METHOD = ZeroShot()
