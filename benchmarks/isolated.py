"""Calls a function, and says what this process cost: `python -m benchmarks.isolated MODULE:NAME JSON`."""

import json
import sys
import time
from importlib import import_module
from os import times

from workflow_scripts.runtime.machine import peak_host_mib

if __name__ == "__main__":
    module, name = sys.argv[1].split(":")
    result = getattr(import_module(module), name)(*json.loads(sys.argv[2]))
    used = time.process_time() + times().children_user + times().children_system
    print(json.dumps({"result": result, "cpu": used, "peak_mib": peak_host_mib()}))
