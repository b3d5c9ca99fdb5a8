"""The methods of adaptation: each module of this folder defines one, as METHOD.

A method is there because its file is (docs/adding-a-method.md). Light to import: names of arms are read by the rules.
"""

import importlib
import pkgutil
from collections.abc import Mapping

from workflow_scripts.adaptation.method import Method

METHOD_MODULES = tuple(sorted(f"{__name__}.{found.name}" for found in pkgutil.iter_modules(__path__)))


def _read_methods() -> Mapping[str, Method]:
    found: list[Method] = [importlib.import_module(module).METHOD for module in METHOD_MODULES]
    return {method.name: method for method in found}


METHODS = _read_methods()
"""Every method by name."""
