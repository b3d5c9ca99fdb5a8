# The settings files: what the result of each step depends on, parameters and code. Each is an input of its step's jobs,
# written while the workflow is read, and only where it differs from what is there (docs/architecture.md).

from functools import cache

MODEL_TABLE = PACKAGE / "models/variants.yaml"
TEMPLATES = PACKAGE / "reporting/templates"
REPORT_TEMPLATES = [
    TEMPLATES / "report.html.j2",
    *sorted(TEMPLATES.glob("report/*")),
    PACKAGE / "reporting/captions/figures.rst",
]


REPLACED_SETTINGS = {}
"""Settings files that this start has replaced, and what they held before."""


@contextmanager
def noted_where_replaced(path):
    """Note what a settings file held before where it is replaced."""
    before = path.read_bytes() if path.exists() else None
    with shown_as_one_message():
        yield
    if before is not None and path.read_bytes() != before:
        REPLACED_SETTINGS[path] = before


def is_from_outside(file):
    """Whether a file is no part of the repository: its name then says nothing of its content."""
    return file.is_file() and not file.resolve().is_relative_to(PACKAGE.parent)


def step_settings(folder, step, groups=(), code=(), name="", **extra):
    """Write the settings file of a step and return its path.

    groups: of params.yaml. code: what the step depends on besides what it imports; files from outside the repository
    count by their content. extra: further entries.
    """
    outside = [file for file in map(Path, code) if is_from_outside(file)]
    code = [entry for entry in code if Path(entry) not in outside]
    if outside:
        with shown_as_one_message():
            hashes = content_hashes(outside, REMEMBERED)
        extra["files"] = {str(file): digest for file, digest in hashes.items()}
    path = Path(f"{folder}/settings/{step}{'.' if name else ''}{name}.json")
    modules = [f"workflow_scripts.steps.{step}", *map(str, code)]
    with noted_where_replaced(path):
        write_step_settings(study, list(groups), modules, path, extra)
    return str(path)


def raw_tables():
    """What reading the raw data depends on: files that a rule makes, or the inventory of files from outside."""
    made = source.made_raw_files()
    if made is not None:
        return made
    path = Path(f"{DATA}/settings/raw_tables.json")
    # A clone with restored tables needs no raw files, so an inventory that is there stays.
    if source.raw_folder.exists() or not path.exists():
        with noted_where_replaced(path):
            write_settings(study, path, source.inventory(REMEMBERED))
    return [str(path)]


def source_of_windows(wildcards):
    """What says which content the windows come from: what was read of the raw files, or the inventory of own tables."""
    if source.reading:
        return source.reading
    if source.dataset.patients == "simulated":  # A rule makes the tables.
        return []
    path = Path(f"{DATA}/settings/own_tables.{wildcards.cohort}.json")
    with noted_where_replaced(path):
        write_settings(study, path, source.inventory_of(wildcards.cohort, REMEMBERED))
    return str(path)


def windows_settings():
    """The settings file of the step that judges values and cuts windows of them."""
    items, plausible = PACKAGE / "sources/mimic_iii/items.yaml", study.extraction.plausible_ranges
    return step_settings(DATA, "make_windows", ["windows"], [items], plausible_ranges=plausible)


def label_settings(wildcards):
    files = definition_files(wildcards.cohort, study.own_cohorts.get(wildcards.cohort))
    return cohort_settings("label_cohort", wildcards.cohort, files)


def description_settings(wildcards):
    files = definition_files(wildcards.cohort, PACKAGE / "cohorts/description.sql")
    return cohort_settings("describe_cohort", wildcards.cohort, [*files, TEMPLATES / "table_one.html.j2"])


def cohort_settings(step, cohort, files):
    """The settings file of a step of one cohort: with Sepsis-3's choices where its SQL files read them."""
    reads_choices = any("getvariable(" in file.read_text(encoding="utf-8") for file in files)
    groups = ["cohort", "vitals", "sepsis3"] if reads_choices else ["cohort", "vitals"]
    return step_settings(DATA, step, groups, files, cohort)


def source_label_settings(wildcards):
    """The settings file of a cohort of a source that gives stays, with what defines it."""
    cohort = wildcards.cohort
    definition = {"condition": source.cohorts[cohort], "onset": source.onsets.get(cohort, "onset")}
    return step_settings(DATA, "label_source_cohort", ["cohort", "vitals"], name=cohort, **definition)


def source_description_settings(wildcards):
    return describing_settings(wildcards.cohort, ["cohort", "vitals"])


def own_description_settings(wildcards):
    return describing_settings(wildcards.cohort, [])


def describing_settings(cohort, groups):
    code = [TEMPLATES / "table_one.html.j2"]
    return step_settings(DATA, "describe_cohort", groups, code, cohort, described=list(source.described))


def weights_settings(wildcards):
    variant = VARIANTS[wildcards.model]
    identity = weights_identity(variant, weights_source(wildcards), REMEMBERED)
    return step_settings(
        PREPARED, "prepare_weights", code=reading_code(variant), name=variant.name, **identity
    )


def pretraining_settings(wildcards):
    variant, code = VARIANTS[wildcards.model], family_code(wildcards.model)
    folder = "weights/pretrained"
    return step_settings(folder, "pretrain_model", ["pretraining"], code, variant.name, sizes=variant.sizes)


def run_settings(wildcards):
    return settings_of_runs(wildcards.model, Arm.parse(wildcards.arm).method)


@cache
def settings_of_runs(model, method):
    """The settings file of the runs of a family under a method, so that editing either re-runs nothing else."""
    arm, family = Arm(method), family_of(model)
    # No weights file shows what a model from scratch is made of.
    scratch = {
        name: {"sizes": entry.sizes, "training": entry.training}
        for name, entry in SCRATCH_VARIANTS.items()
        if entry.family == family
    }
    extra = {"adaptation": arm_settings(study, arm)} | ({"variants": scratch} if scratch else {})
    groups = ["adaptation", "training", "tuning", "forecast"]
    code, name = run_code(model, arm)[1:], f"{family}.{method}"
    return step_settings(f"{RESULTS}/runs", "run_arm", groups, code, name, **extra)


def transfer_settings(wildcards):
    return settings_of_transfers(wildcards.model, Arm.parse(wildcards.arm).method)


@cache
def settings_of_transfers(model, method):
    code, name = transfer_code(model, Arm(method))[1:], f"{family_of(model)}.{method}"
    return step_settings(f"{RESULTS}/transfer", "evaluate_transfer", ["forecast"], code, name)


def changed_parameters():
    """The parameters that differ from their defaults, for the report; where runs are tracked changes no result."""
    return study.model_dump(mode="json", exclude_defaults=True, exclude={"tracking"})


def refuse_to_touch_changed():
    """Refuse `snakemake --touch` where settings differ from those of the results, which it would call up to date."""
    if workflow.touch and REPLACED_SETTINGS:
        for path, content in REPLACED_SETTINGS.items():
            path.write_bytes(content)
        sys.exit(
            f"error: {', '.join(map(str, REPLACED_SETTINGS))}\n"
            "  found:      params.yaml or code that differs from what the results were made with\n"
            "  expected:   with --touch, the params.yaml and the code of the results\n"
            "  what to do: undo the change, run `snakemake --touch`, then change again; nothing was touched"
        )


# Snakemake looks into a folder once: a settings file that is written afterwards would be missing.
for run in study.runs():
    settings_of_runs(run.model, Arm.parse(run.arm).method)
# Written whether or not there are transfers, so that DVC always finds their folder.
for model in study.models:
    for arm in transferred_arms(study.arm_list()) or [FULL]:
        settings_of_transfers(model, arm.method)

TRACKING_SETTINGS = step_settings(
    f"{RESULTS}/summary",
    "sync_tracking",
    ["dataset", "tracking"],
    [MODEL_TABLE, EVENT_DEFINITIONS, PACKAGE / "sources/datasets.yaml"],
    runs=run_records(),
)
SYNC_TRACKING = (
    '"$PYTHON" -m workflow_scripts.steps.sync_tracking'
    f" --settings {TRACKING_SETTINGS} --windows {DATA}/windows"
)
