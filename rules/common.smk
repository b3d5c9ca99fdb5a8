# The study, the paths of its files, and the functions that the rules share.

import os
import shlex
import sys
from contextlib import contextmanager
from pathlib import Path

from snakemake.settings.types import DeploymentMethod

from workflow_scripts.adaptation.arms import (
    BASELINE,
    FULL,
    SCRATCH_ARM_PATTERN,
    TRAINING_ARM_PATTERN,
    ZERO_SHOT,
    Arm,
)
from workflow_scripts.cohorts.definitions import definition_files
from workflow_scripts.evaluation.sites import run_folder, windows_file
from workflow_scripts.evaluation.transfer_plan import transferred_arms
from workflow_scripts.models.baselines import BASELINES
from workflow_scripts.models.registry import SCRATCH_VARIANTS, STAND_INS, VARIANTS, family_of
from workflow_scripts.models.sources import default_source, reading_code, weights_identity
from workflow_scripts.privacy.permissions import keep_to_owner
from workflow_scripts.runtime.content import REMEMBERED, content_hashes
from workflow_scripts.runtime.device import threads_for, visible_devices
from workflow_scripts.runtime.display.handler import show_progress
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.hashing import file_hash
from workflow_scripts.runtime.storage import refusal_of_storage, require_room, require_writable
from workflow_scripts.settings import (
    EVENT_DEFINITIONS,
    arm_settings,
    family_code,
    load_study,
    run_code,
    run_imports,
    transfer_code,
    weights_folder_of,
    write_settings,
    write_step_settings,
)
from workflow_scripts.sources.mimic_iii.tables import EVENT_TABLES
from workflow_scripts.sources.source import source_of


def with_braces(path):
    """A path for Snakemake to format, which takes single braces for the names of wildcards or variables."""
    return str(path).replace("{", "{{").replace("}", "}}")


ENVIRONMENT = with_braces(Path(workflow.basedir) / "envs/study.yaml")


# Steps run with the Python that runs Snakemake, or with that of the conda environment where Snakemake deploys it, and are
# imported from this checkout, whichever folder one works in.
CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
PYTHON = "python" if CONDA else with_braces(shlex.quote(sys.executable))
# Runs are forked from servers that end with this Snakemake (docs/start-up.md). On a cluster, where each job has a
# Snakemake of its own, from none.
WARM_OWNER = 0 if workflow.remote_exec or os.environ.get("VITALORA_WARM") == "0" else os.getpid()
CHECKOUT = with_braces(shlex.quote(str(workflow.basedir)))
shell.prefix(f"set -euo pipefail; export PYTHONPATH={CHECKOUT} VITALORA_WARM={WARM_OWNER}; PYTHON={PYTHON}; ")


@contextmanager
def shown_as_one_message():
    """End with the message of an error that the user can fix, without Snakemake's traceback."""
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {refusal_of_storage(error) or error}")


# ---- The study

with shown_as_one_message():
    if not workflow.output_settings.dryrun:
        require_room(Path.cwd())  # Snakemake writes its own notes before it calls onstart.
    study = load_study(config)
    source = study.source()
    source.require(study.cohorts)
    if not study.unfinished:
        study.require_sites()
    # Before any job: Snakemake passes over a job whose inputs fail where its later results are there already.
    for cohort in study.cohorts if source.labels_cohorts else []:
        definition_files(cohort, study.own_cohorts.get(cohort))

PACKAGE = Path(workflow.basedir) / "workflow_scripts"
DATA = f"data/{study.dataset}"
PREPARED = "weights/prepared"
RESULTS = f"results/{study.dataset}"
LOGS = f"logs/{study.dataset}"

SIMULATED_RAW = source_of("simulated").made_raw_files()
EVENTS = [f"{DATA}/events/{table}.parquet" for table in EVENT_TABLES]
DESCRIPTIONS = [f"{DATA}/cohorts/{cohort}.table_one.csv" for cohort in study.cohorts]
LABELLED_COHORTS = study.cohorts if source.labels_cohorts or source.cohorts else []
ATTRITION = [f"{DATA}/cohorts/{cohort}.attrition.csv" for cohort in LABELLED_COHORTS]
RUN = f"{RESULTS}/runs/{{cohort}}/{{vital}}/{{model}}/{{arm}}/seed{{seed}}"
RUN_RECORD = f"{RUN}/run.json"
RUN_LOG = f"{LOGS}/run_arm/{{cohort}}-{{vital}}-{{model}}-{{arm}}-seed{{seed}}.log"
# Not by Snakemake's `benchmark:`, which would measure the client of a warm server.
RUN_BENCHMARK = RUN_LOG.replace(".log", ".benchmark.tsv")
WINDOWS_LOG = f"{LOGS}/make_windows/{{cohort}}-{{vital}}.log"
COHORT_LOG = f"{LOGS}/label_cohort/{{cohort}}.log"
TRANSFER = f"{RESULTS}/transfer/{{trained_on}}/{{evaluated_on}}/{{vital}}/{{model}}/{{arm}}/seed{{seed}}"
TRANSFER_NAME = "{trained_on}-{evaluated_on}-{vital}-{model}-{arm}-seed{seed}"


wildcard_constraints:
    dataset="[a-z0-9-]+",
    cohort="[a-z0-9_]+",
    trained_on="[a-z0-9_.-]+",
    evaluated_on="[a-z0-9_.-]+",
    vital="[a-z0-9_]+",
    model="[A-Za-z0-9.-]+",
    arm="[a-z0-9-]+",
    seed="[0-9]+",


def run_records():
    """The record of every run of the study."""
    return [RUN_RECORD.format(**vars(run)) for run in study.runs()]


def runs_to_compare(wildcards):
    """The records of one model on one cohort and vital sign, under every arm."""
    wanted = (wildcards.cohort, wildcards.vital, wildcards.model)
    runs = (run for run in study.runs() if (run.cohort, run.vital, run.model) == wanted)
    return [RUN_RECORD.format(**vars(run)) for run in runs]


def transfer_records():
    """The record of every adapter on another cohort; none unless the study asks for them."""
    return [f"{TRANSFER}/record.json".format(**vars(job)) for job in study.transfers()]


def site_records():
    """The runs of other studies that transfers from and to sites are compared with."""
    return [str(run_folder(study.dataset, **vars(run)) / "run.json") for run in study.site_runs()]


def site_windows():
    """The windows of the sites."""
    return [str(windows_file(study.dataset, site, vital)) for site in study.sites for vital in study.vitals]


def trained_run(wildcards):
    """The folder of the run whose adapter is transferred, of this study or of a site's."""
    run = {name: getattr(wildcards, name) for name in ("vital", "model", "arm", "seed")}
    return str(run_folder(study.dataset, wildcards.trained_on, **run))


def trained_adapter(wildcards):
    return f"{trained_run(wildcards)}/adapter"


def trained_record(wildcards):
    return f"{trained_run(wildcards)}/run.json"


def windows_to_evaluate(wildcards):
    return str(windows_file(study.dataset, wildcards.evaluated_on, wildcards.vital))


def windows_of_training(wildcards):
    return str(windows_file(study.dataset, wildcards.trained_on, wildcards.vital))


def finished(paths):
    """All of these files; of an unfinished study those that are there."""
    return [path for path in paths if Path(path).exists()] if study.unfinished else paths


def missing_runs():
    """Of an unfinished study the records that are not there, each with the logs that may say why."""
    if not study.unfinished:
        return {}
    missing = [run for run in study.runs() if not Path(RUN_RECORD.format(**vars(run))).exists()]
    if len(missing) == len(run_records()):
        sys.exit(f"error: {RESULTS}/runs\n  no run of this study has finished: there is nothing to show")
    logs = (RUN_LOG, WINDOWS_LOG, COHORT_LOG)
    return {RUN_RECORD.format(**vars(run)): [log.format(**vars(run)) for log in logs] for run in missing}


def has_unmirrored_runs():
    """Whether a run has finished since MLflow was brought up to date."""
    mirrored = Path(f"{RESULTS}/summary/tracking.json")
    since = mirrored.stat().st_mtime if mirrored.exists() else 0
    return any(path.exists() and path.stat().st_mtime > since for path in map(Path, run_records()))


# ---- Inputs and parameters of rules


def raw_folder(wildcards):
    return str(source.raw_folder)


def folder_of_tables(wildcards, output):
    return str(Path(output.tables[0]).parent)


def events_folder(wildcards, input):
    return str(Path(input.events[0]).parent)


def windows_folder(wildcards, input):
    return str(Path(input.windows[0]).parents[1])


def cohorts_folder(wildcards, input):
    return str(Path(input.cohorts[0]).parent)


def reading_option(wildcards, input):
    """What was read of the raw files; of own tables nothing was."""
    return f"--reading {input.source}" if source.reading else ""


def own_definition_option(wildcards):
    """The SQL file of a cohort of the user's own. No input: its text is in the settings file, and its path may have braces."""
    path = study.own_cohorts.get(wildcards.cohort)
    return f"--definition {shlex.quote(path)}" if path else ""


def base_weights(wildcards):
    """The prepared weights that a model starts from."""
    return f"{PREPARED}/{weights_folder_of(wildcards.model)}/model.safetensors"


def base_weights_option(wildcards, input):
    return f"--weights {Path(input.weights).parent}"


def preload(wildcards, output):
    """What a warm server imports before a run. Snakemake keeps no note of a parameter that is given with the output."""
    return ",".join(run_imports(wildcards.model, wildcards.arm))


def weights_source(wildcards):
    """Where a model's weights come from: embedded, package, hub, or a path."""
    return study.weights.get(wildcards.model, default_source(VARIANTS[wildcards.model]))


def licence_note(wildcards):
    """What the licence of a model's weights restricts; empty where it restricts nothing."""
    variant = VARIANTS[wildcards.model]
    return f" (licence {variant.licence}: {variant.restriction})" if variant.restriction else ""


def cohorts_folder_option(wildcards, input):
    return f"--cohorts {Path(input.descriptions[0]).parent}" if input.descriptions else ""


def reading_file_option(wildcards, input):
    return f"--reading {input.reading}" if input.reading else ""


def job_threads(wildcards):
    """On GPUs, as many jobs at once as devices; without one, one thread a job keeps the cores busy best."""
    return threads_for(workflow.cores or 1, len(visible_devices()))


# ---- When jobs run


def prepare_start():
    """Before the first job: refuse folders that cannot be written, and make what follows for its owner only."""
    with shown_as_one_message():
        require_writable([Path(DATA), Path(PREPARED), Path(RESULTS)])
    keep_to_owner(Path())
