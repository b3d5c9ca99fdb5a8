# vitalora: adapt time-series foundation models to intensive-care vital signs.
#
# The grammar of the paths (docs/architecture.md says what each file holds):
#
#   data/raw/<dataset>/<TABLE>.csv.gz
#   data/<dataset>/events/<table>.parquet
#   data/<dataset>/cohorts/<cohort>.parquet
#   data/<dataset>/windows/<cohort>/<vital>.parquet
#   weights/prepared/<model>/model.safetensors
#   results/<dataset>/runs/<cohort>/<vital>/<model>/<arm>/seed<k>/run.json
#   results/<dataset>/summary/metrics.csv
#   results/<dataset>/report.html
#
# Every setting is in params.yaml; `--config dataset=mimic-iii-demo` chooses other data.

import sys
from pathlib import Path

from snakemake.utils import min_version

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_yaml

min_version("9.20")

# Before `configfile:`, which does not say where in the file the mistake is.
try:
    read_yaml(Path("params.yaml"), "the settings of the study")
except UserError as error:
    sys.exit(f"error: {error}")


configfile: "params.yaml"


include: "rules/common.smk"
include: "rules/settings.smk"
include: "rules/data.smk"
include: "rules/weights.smk"
include: "rules/runs.smk"
include: "rules/results.smk"


rule all:
    default_target: True
    input:
        metrics=f"results/{study.dataset}/summary/metrics.csv",
        report=f"results/{study.dataset}/report.html",
        descriptions=finished(DESCRIPTIONS),
        tracking=f"results/{study.dataset}/summary/tracking.json",


# No limit of jobs a second: under it, each look for jobs calls for another look a second later, and looks come with
# every finished job, so that after some hundred jobs Snakemake does little else (docs/scaling.md).
onstart:
    prepare_start()
    refuse_to_touch_changed()
    show_progress(workflow)
    workflow.scheduler.job_rate_limiter = None


# Runs that finished before another job failed are in MLflow too.
onerror:
    if has_unmirrored_runs():
        shell(f"{SYNC_TRACKING} &> {LOGS}/sync_tracking.log || true")
