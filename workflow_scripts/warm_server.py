"""The process behind `workflow_scripts.warm`, which starts it: not meant to be called by hand.

Knows what a step imports while it runs. What is not named here a job imports itself: slower, never wrong.
"""

import argparse
import gc
import socket
import sys

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.models.baselines import BASELINES
from workflow_scripts.models.registry import MODELS, family_class
from workflow_scripts.runtime.step import disable_network
from workflow_scripts.runtime.warm import Server, run_and_end

STEPS = ("run_arm", "evaluate_transfer")
"""The steps that are forked."""


def main() -> None:
    """Serve on an inherited socket. Arguments: its file descriptor, and the process to end with."""
    descriptor, owner = map(int, sys.argv[1:])
    # What imports make stays, so nothing need look for garbage among it.
    gc.disable()
    arguments = Server(socket.socket(fileno=descriptor), owner, dict.fromkeys(STEPS, _warm_up)).serve()
    if arguments is not None:
        run_and_end(arguments)


def _warm_up(arguments: list[str]) -> None:
    """Import what a run with these arguments needs, in its order: windows, model, adapter."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    for name in ("model", "arm"):
        parser.add_argument(f"--{name}", default="")
    options, _ = parser.parse_known_args(arguments)
    disable_network()
    import pyarrow.dataset  # noqa: F401

    if options.model in BASELINES and not BASELINES[options.model].point_forecast:
        import statsforecast.models  # noqa: F401
    if options.model in MODELS:
        import workflow_scripts.training.inference
        import workflow_scripts.training.tuning  # noqa: F401

        family_class(MODELS[options.model].family)
        if Arm.parse(options.arm).definition.uses_peft:
            import peft  # noqa: F401


if __name__ == "__main__":
    main()
