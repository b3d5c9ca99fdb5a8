"""docs/adding-a-method.md is true: a method is one file."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from workflow_scripts.runtime.hashing import PACKAGE

REPOSITORY = PACKAGE.parent
DOCUMENT = (REPOSITORY / "docs" / "adding-a-method.md").read_text(encoding="utf-8")
USE = """
import json, sys
from pathlib import Path
from tests.helpers.tiny_families import tiny
from tests.helpers.trained_arms import loss, trained
from workflow_scripts.adaptation.adapters import load_adapter, merge, save_adapter
from workflow_scripts.adaptation.adapting import count_parameters
from workflow_scripts.evaluation.names import arm_name
from workflow_scripts.settings import load_study

run = trained("moirai", "orthogonal-lora-r2")
save_adapter(run.model, run.arm, Path("adapter"), "moirai-tiny")
model = tiny("moirai")
merge(model, load_adapter(model, Path("adapter")))
study = load_study({"arms": ["orthogonal-lora"], "ranks": [2]})
print(json.dumps({
    "trainable": count_parameters(run.model)["trainable"],
    "start": [loss(tiny("moirai")), run.loss_before],
    "end": [run.loss_after, loss(model)],
    "label": arm_name("orthogonal-lora-r2"),
    "runs": [job.arm for job in study.runs() if job.model == study.models[0]],
}))
"""


def test_one_file_adds_a_method_to_settings_training_storage_and_report(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    (tmp_path / PACKAGE.name / "adaptation" / "methods" / "orthogonal_lora.py").write_text(
        code, encoding="utf-8"
    )
    command = [sys.executable, "-c", USE]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (tmp_path, REPOSITORY)))}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["trainable"] == 4 * 2 * (64 + 64)
    start, before = found["start"]
    trained, merged = found["end"]
    assert abs(before - start) < 1e-4 * abs(start)
    assert trained != before
    assert abs(merged - trained) < 1e-4 * abs(trained)
    assert found["label"] == "LoRA, orthogonal start, rank 2"
    assert set(found["runs"]) == {"orthogonal-lora-r2"}
