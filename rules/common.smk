# Settings, the closed lists of names, and the functions that the rules share.

import shlex
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

# The package is imported from this checkout, by Snakemake and by the steps, whichever folder one works in. Steps run with
# the Python that runs Snakemake, or with that of the conda environment where Snakemake deploys it.
sys.path.insert(0, workflow.basedir)
CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
PYTHON = "python" if CONDA else shlex.quote(sys.executable)
shell.prefix(f"set -euo pipefail; export PYTHONPATH={shlex.quote(workflow.basedir)}; PYTHON={PYTHON}; ")

from workflow_scripts.adaptation.arms import BASELINE, SCRATCH_ARM_PATTERN, TRAINING_ARM_PATTERN, ZERO_SHOT
from workflow_scripts.cohorts.definitions import definition_files
from workflow_scripts.sources.mimic_iii.tables import EVENT_TABLES
from workflow_scripts.sources.source import source_of
from workflow_scripts.models.baselines import BASELINES
from workflow_scripts.models.registry import MODELS, SCRATCH_VARIANTS, VARIANTS, family_of
from workflow_scripts.models.sources import EMBEDDED, checkpoint_reader, default_source, embedded_hashes
from workflow_scripts.privacy.permissions import keep_to_owner
from workflow_scripts.runtime.device import threads_for, visible_devices
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import write_json_if_changed
from workflow_scripts.runtime.logger import show_progress
from workflow_scripts.runtime.storage import refusal_of_storage, require_room, require_writable
from workflow_scripts.settings import load_study, run_code, weights_folder_of, write_step_settings

show_progress(workflow)
from workflow_scripts.warm import own_servers

# Runs are forked from servers that end with this Snakemake (docs/start-up.md); with VITALORA_WARM=0, and on a cluster,
# where each job has a Snakemake of its own, from none.
own_servers(alone=workflow.remote_exec)

try:
    study = load_study(config)
    source = source_of(study.dataset)
    source.require(study.cohorts)
    # Before any job: snakemake passes over a job whose inputs fail where its later results are there already.
    for cohort in study.cohorts if source.labels_cohorts else []:
        definition_files(cohort, study.own_cohorts.get(cohort))
except UserError as error:
    raise WorkflowError(str(error)) from None

PACKAGE = Path(workflow.basedir) / "workflow_scripts"
MODEL_TABLE = PACKAGE / "models/variants.yaml"
DATA = f"data/{study.dataset}"
RESULTS = f"results/{study.dataset}"
SIMULATED_RAW = source_of("simulated").made_raw_files()
EVENTS = [f"{DATA}/events/{table}.parquet" for table in EVENT_TABLES]
DESCRIBED_COHORTS = study.cohorts if source.labels_cohorts else []
DESCRIPTIONS = [f"{DATA}/cohorts/{cohort}.table_one.csv" for cohort in DESCRIBED_COHORTS]
ATTRITION = [f"{DATA}/cohorts/{cohort}.attrition.csv" for cohort in DESCRIBED_COHORTS]
RUN = f"{RESULTS}/runs/{{cohort}}/{{vital}}/{{model}}/{{arm}}/seed{{seed}}"
RUN_RECORD = f"{RUN}/run.json"
RUN_LOGS = [
    f"logs/{study.dataset}/run_arm/{{cohort}}-{{vital}}-{{model}}-{{arm}}-seed{{seed}}.log",
    f"logs/{study.dataset}/make_windows/{{cohort}}-{{vital}}.log",
    f"logs/{study.dataset}/label_cohort/{{cohort}}.log",
]
TRANSFER = f"{RESULTS}/transfer/{{trained_on}}/{{evaluated_on}}/{{vital}}/{{model}}/{{arm}}/seed{{seed}}"
EMBEDDED_MODELS = [name for name, variant in VARIANTS.items() if variant.stand_in]
PREPARED = "weights/prepared"


def prepare_start():
    """Before the first job: refuse a disk that takes nothing, and make what follows for its owner only."""
    try:
        require_room(Path.cwd())
        require_writable([Path(DATA), Path(PREPARED), Path(RESULTS)])
    except UserError as error:
        raise WorkflowError(str(error)) from None
    keep_to_owner(Path())


def step_settings(folder, step, groups=(), code=(), name="", **extra):
    """Write the settings file of a step and return its path: an input of every job of that step."""
    path = f"{folder}/settings/{step}{'.' if name else ''}{name}.json"
    try:
        write_step_settings(
            study, list(groups), [f"workflow_scripts.steps.{step}", *map(str, code)], Path(path), extra
        )
    except UserError as error:
        raise WorkflowError(str(error)) from None
    except OSError as error:
        raise WorkflowError(str(refusal_of_storage(error) or error)) from None
    return path


def cohort_settings(step, cohort):
    """The settings file of a step of one cohort: its SQL files, and Sepsis-3's choices where these read them."""
    files = definition_files(cohort, study.own_cohorts.get(cohort))
    if step == "describe_cohort":
        files = definition_files(cohort, PACKAGE / "cohorts/description.sql")
        files.append(PACKAGE / "reporting/templates/table_one.html.j2")
    reads_choices = any("getvariable(" in file.read_text(encoding="utf-8") for file in files)
    return step_settings(DATA, step, ["cohort", "vitals"] + ["sepsis3"] * reads_choices, files, cohort)


def report_templates():
    """What the report is drawn with, apart from code."""
    templates = sorted((PACKAGE / "reporting/templates").glob("report/*"))
    captions = PACKAGE / "reporting/captions/figures.rst"
    return [PACKAGE / "reporting/templates/report.html.j2", *templates, captions]


def changed_parameters():
    """The parameters that differ from their defaults, for the report; where runs are tracked changes no result."""
    return study.model_dump(mode="json", exclude_defaults=True, exclude={"tracking"})


def raw_tables():
    """What reading the raw data depends on: files that a rule makes, or the inventory of a folder from outside."""
    made = source.made_raw_files()
    if made is not None:
        return made
    path = Path(f"{DATA}/settings/raw_tables.json")
    # A clone with restored events needs no raw folder, so an inventory that is there stays.
    if source.raw_folder.is_dir() or not path.exists():
        write_json_if_changed(path, source.inventory())
    return [str(path)]


def run_records():
    """The record of every run of the study."""
    return [RUN_RECORD.format(**vars(run)) for run in study.runs()]


def finished(paths):
    """All of these files; of an unfinished study those that are there."""
    return [path for path in paths if Path(path).exists()] if study.unfinished else paths


def missing_runs():
    """Of an unfinished study the records that are not there, each with the logs that may say why."""
    if not study.unfinished:
        return {}
    lacking = [run for run in study.runs() if not Path(RUN_RECORD.format(**vars(run))).exists()]
    if len(lacking) == len(run_records()):
        raise WorkflowError(f"{RESULTS}/runs\n  no run of this study has finished: there is nothing to show")
    return {RUN_RECORD.format(**vars(run)): [log.format(**vars(run)) for log in RUN_LOGS] for run in lacking}


def transfer_records():
    """The record of every adapter on another cohort; none unless the study asks for them."""
    return [f"{TRANSFER}/record.json".format(**vars(job)) for job in study.transfers()]


@cache
def run_settings(model):
    """The settings file of a run: one for each family, so that editing a family re-runs that family alone."""
    groups = ["adaptation", "training", "tuning", "forecast"]
    # No weights file shows what a model from scratch is made of.
    scratch = {
        name: {"sizes": entry.sizes, "training": entry.training}
        for name, entry in SCRATCH_VARIANTS.items()
        if entry.family == family_of(model)
    }
    extra = {"variants": scratch} if scratch else {}
    return step_settings(f"{RESULTS}/runs", "run_arm", groups, run_code(model)[1:], family_of(model), **extra)


def parent(paths, levels=1):
    """The folder of a file, or of the first of several."""
    return str(Path(paths if isinstance(paths, str) else paths[0]).parents[levels - 1])


def weights_source(model):
    """Where a model's weights come from: embedded, hub, or a path."""
    return study.weights.get(model, default_source(VARIANTS[model]))


def weights_identity(model):
    """What prepared weights depend on, apart from code: the source, and what the registry says of the model."""
    variant, source = VARIANTS[model], weights_source(model)
    named = ("family", "sizes", "hub_id", "revision", "checkpoint")
    identity = {"source": source, "variant": {name: getattr(variant, name) for name in named}}
    return identity | ({"sha256": embedded_hashes(variant)} if source == EMBEDDED else {})


def weights_files(model):
    """The files of a local source, so that a change of theirs is seen."""
    source = Path(weights_source(model))
    files = [source] if source.is_file() else [source / "config.json", source / "model.safetensors"]
    return [str(path) for path in files if path.is_file()]


def checkpoint_code(model):
    """The reader of a model's official checkpoint: chosen by name as the step runs, so imports do not show it."""
    return [checkpoint_reader(VARIANTS[model])] if VARIANTS[model].checkpoint else []


def licence_note(model):
    """What the licence of a model's weights restricts; empty where it restricts nothing."""
    variant = VARIANTS[model]
    return f" (licence {variant.licence}: {variant.restriction})" if variant.restriction else ""


# Written whether or not there are transfers, so that DVC always finds their folder.
TRANSFER_SETTINGS = {
    family_of(model): step_settings(
        f"{RESULTS}/transfer", "evaluate_transfer", ["forecast"], run_code(model)[1:], family_of(model)
    )
    for model in study.models
}
# Snakemake looks into a folder once: a settings file that is written afterwards would be missing.
for run in study.runs():
    run_settings(run.model)
TRACKING_SETTINGS = step_settings(
    f"{RESULTS}/summary", "sync_tracking", ["dataset", "tracking"], [MODEL_TABLE], runs=run_records()
)
SYNC_TRACKING = f'"$PYTHON" -m workflow_scripts.steps.sync_tracking --settings {TRACKING_SETTINGS} --windows {DATA}/windows'


def has_unmirrored_runs():
    """Whether a run has finished since MLflow was brought up to date."""
    mirrored = Path(f"{RESULTS}/summary/tracking.json")
    since = mirrored.stat().st_mtime if mirrored.exists() else 0
    return any(path.exists() and path.stat().st_mtime > since for path in map(Path, run_records()))


def job_threads(wildcards):
    """On GPUs, as many jobs at once as devices; without one, one thread a job keeps the cores busy best."""
    return threads_for(workflow.cores or 1, len(visible_devices()))


wildcard_constraints:
    dataset="[a-z0-9-]+",
    cohort="[a-z0-9_]+",
    trained_on="[a-z0-9_]+",
    evaluated_on="[a-z0-9_]+",
    vital="[a-z0-9_]+",
    model="[A-Za-z0-9.-]+",
    arm="[a-z0-9-]+",
    seed="[0-9]+",
