"""The same answer twice, and only what a change concerns runs again: real Snakemake on the finished tiny study."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.fault_study import STUDY, copy_study, rows_without_costs, set_study
from tests.helpers.plans import Declared, declared_settings, plans
from tests.helpers.projects import ROOT, TINY_STUDY, run_in
from tests.helpers.records import without
from tests.helpers.shared_studies import Undisturbed
from workflow_scripts.cohorts.definitions import definition_names
from workflow_scripts.runtime.hashing import code_hash
from workflow_scripts.settings import Study, ignored_code

pytestmark = pytest.mark.workflow

EDIT = "\nEDITED = 1\n"
REPORT = {"aggregate_metrics": 1, "make_report": 1}
SUMMARY = REPORT | {"sync_tracking": 1}
RUNS = {"adapt_and_forecast": 2, "forecast_zero_shot": 1, "forecast_baseline": 1}
MOIRAI = {"adapt_and_forecast": 2, "forecast_zero_shot": 1}
FROM_WINDOWS = {"make_windows": 1} | RUNS | SUMMARY
FROM_COHORTS = {"label_cohort": 1, "describe_cohort": 1} | FROM_WINDOWS
FROM_EVENTS = {"extract_events": 1} | FROM_COHORTS
FROM_SCRATCH = {"from_scratch": ["n-hits-hr"]}
MEASURED = (
    *("seconds", "memory", "cost", "finished_at", "git_commit", "forked", "cores"),
    *("batch_size", "checkpoint_seconds", "from_scratch"),  # What the two studies were told differently.
)


@pytest.fixture(scope="module")
def copy(undisturbed: Undisturbed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small finished study for dry runs, which leave it as it is."""
    return copy_study(undisturbed.project, tmp_path_factory.mktemp("copy") / "project")


@pytest.fixture(scope="module")
def declared(undisturbed: Undisturbed, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Declared]:
    """What every settings file is made of: of all families, and of rules that run on request."""
    folder = copy_study(undisturbed.project, tmp_path_factory.mktemp("declared") / "project")
    set_study(folder, TINY_STUDY | FROM_SCRATCH)
    return declared_settings(folder, "all", "best_adapter", "pretrain")


# ---- The same answer twice


MOIRAI_RUNS = 3 + 1
"""Of the undisturbed study: zero-shot, full, LoRA; and a baseline."""
OTHERS = ("lag-llama-nano/full", "chronos-t5-nano/lora-r1")


@pytest.fixture(scope="module")
def again(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each other family made anew from the finished study, in the same other way."""
    folder = copy_study(project, tmp_path_factory.mktemp("again") / "project")
    set_study(folder, TINY_STUDY | {"forecast": STUDY["forecast"]})
    runs = "results/simulated/runs/sepsis3/heart_rate"
    for model in (folder / runs).iterdir():
        shutil.rmtree(model)
    shutil.copy(ROOT / "tests/helpers/watched_imports.py", folder / "sitecustomize.py")
    targets = [f"{runs}/{name}/seed0/run.json" for name in OTHERS]
    run_in(folder, "snakemake", "--cores", "1", *targets, VITALORA_WARM="0")
    return folder


def made_files(folder: Path, *places: str) -> set[Path]:
    """What must be the same: data, weights, forecasts, adapters; tables of a study of other runs are not among it."""
    kinds = ("*.parquet", "*.csv.gz", "*.csv", "*.safetensors", "adapter/*.json", "arm.json")
    return {
        path.relative_to(folder)
        for place in places
        for kind in kinds
        for path in (folder / place).rglob(kind)
    }


def differing(first: Path, second: Path, files: set[Path]) -> list[Path]:
    return [path for path in sorted(files) if (first / path).read_bytes() != (second / path).read_bytes()]


def test_one_core_plain_processes_another_order_and_batch_size_give_the_same_files(
    project: Path, undisturbed: Undisturbed, again: Path
):
    made = made_files(undisturbed.project, "data", "weights/prepared", "results/simulated/runs")
    assert sum(path.name == "forecasts.parquet" for path in made) == MOIRAI_RUNS
    assert sum(path.parts[:2] == ("data", "raw") for path in made) > 10
    assert differing(undisturbed.project, project, made) == []
    made = made_files(again, "results/simulated/runs")
    assert sum(path.name == "forecasts.parquet" for path in made) == len(OTHERS)
    assert differing(again, project, made) == []


def test_the_records_of_these_runs_differ_in_times_and_memory_only(
    project: Path, undisturbed: Undisturbed, again: Path
):
    for folder, count in ((undisturbed.project, MOIRAI_RUNS), (again, len(OTHERS))):
        records = sorted((folder / "results").rglob("run.json"))
        assert len(records) == count
        for path in records:
            first, second = (
                without(json.loads((where / path.relative_to(folder)).read_text()), MEASURED)
                for where in (project, folder)
            )
            assert first == second


def test_the_rows_of_the_table_are_the_same_apart_from_costs(project: Path, undisturbed: Undisturbed):
    """Every row of the smaller study's metrics.csv stands in the larger one's, character by character."""
    first, second = (
        rows_without_costs(folder / "results/simulated/summary/metrics.csv")
        for folder in (project, undisturbed.project)
    )
    assert len(second) == MOIRAI_RUNS
    assert [row for row in second if row not in first] == []


def test_the_order_of_the_runs_changes_no_table(project: Path, tmp_path: Path):
    """The settings list the runs; here from the last to the first. metrics.csv follows the list, line by line."""
    summary = project / "results/simulated/summary"
    settings = json.loads((summary / "settings/aggregate_metrics.json").read_text())
    settings["parameters"]["runs"].reverse()
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    tables = ["metrics", "intervals", "comparisons", "rank_threshold", "breakdown", "calibration", "findings"]
    tables.append("transfer")
    command = [
        "python",
        "-m",
        "workflow_scripts.steps.aggregate_metrics",
        "--settings",
        str(tmp_path / "settings.json"),
    ]
    command += ["--windows", "data/simulated/windows", "--cohorts", "data/simulated/cohorts"]
    command += ["--summary", str(tmp_path)]
    run_in(project, *command)
    for name in tables:
        first, second = ((folder / f"{name}.csv").read_text().splitlines() for folder in (summary, tmp_path))
        assert sorted(first) == sorted(second), name


@pytest.mark.acceptance
def test_the_report_is_the_same_byte_for_byte(project: Path, changed_project: Path):
    run_in(
        changed_project,
        "snakemake",
        "--cores",
        "1",
        "--forcerun",
        "make_report",
        "results/simulated/report.html",
    )
    pages = [path.relative_to(project) for path in (project / "results/simulated/figures").iterdir()]
    pages = [path for path in pages if not path.name.startswith(".")]
    assert pages
    for path in (Path("results/simulated/report.html"), *pages):
        assert (changed_project / path).read_bytes() == (project / path).read_bytes(), path


def test_every_stored_result_is_reproduced_without_training(project: Path):
    said = run_in(project, "python", "-m", "workflow_scripts.steps.verify_results").stdout
    assert "14 of 14 runs of simulated reproduced from their files" in said
    assert "dvc.lock: all data, weights and results have the recorded hashes" in said


# ---- Code


def module_name(path: Path, folder: Path) -> str:
    """The name under which Python imports a file."""
    parts = path.relative_to(folder).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.fixture(scope="module")
def concerned(copy: Path, declared: dict[str, Declared]) -> dict[str, set[str]]:
    """The modules whose edit, one at a time, changes a settings file: by the path of that file."""
    found: dict[str, set[str]] = {path: set() for path in declared}
    before = {path: current_hash(copy, entry) for path, entry in declared.items()}
    for source in sorted((copy / "workflow_scripts").rglob("*.py")):
        with edited(source):
            for path, entry in declared.items():
                if current_hash(copy, entry) != before[path]:
                    found[path].add(module_name(source, copy))
    return found


def current_hash(folder: Path, entry: Declared) -> str:
    return code_hash(entry.code, folder / "workflow_scripts", ignored_code(entry.code))


class edited:  # noqa: N801
    """A module with another meaning, for the length of a block."""

    def __init__(self, source: Path) -> None:
        self.source, self.text = source, source.read_text()

    def __enter__(self) -> None:
        self.source.write_text(self.text + EDIT)

    def __exit__(self, *_: object) -> None:
        self.source.write_text(self.text)


def is_ignored(module: str, entry: Declared) -> bool:
    """What a run shows only, the methods of adaptation that it does not use, and what those alone are made of."""
    ignored = ignored_code(entry.code)
    if module == "workflow_scripts.adaptation.selection":
        return "workflow_scripts.adaptation.methods.bitfit" in ignored
    return any(f"{module}.".startswith(f"{name}.") for name in ignored)


def test_no_module_that_a_step_loads_is_missed(
    again: Path,
    undisturbed: Undisturbed,
    declared: dict[str, Declared],
    concerned: dict[str, set[str]],
):
    """What a step loads is what Python's sys.modules held as the step ended."""
    notes = [*undisturbed.watched.iterdir(), *(again / "watched").iterdir()]
    watched = [json.loads(path.read_text()) for path in notes]
    steps = set()
    for used in watched:
        words = " ".join(used["command"])
        entries = [
            path
            for path, entry in declared.items()
            if f".{entry.step} " in words or f" {entry.step} " in words
        ]
        if "--settings" in used["command"]:
            entries = [
                path for path in entries if path == used["command"][used["command"].index("--settings") + 1]
            ]
        for path in entries:
            entry = declared[path]
            steps.add(entry.step)
            missed = {name for name in used["modules"] if name not in concerned[path]}
            missed = {name for name in missed if not is_ignored(name, entry)}
            assert not missed, f"{path} does not see {missed}"
            # What the registry says of a model is in the settings value by value. Whether a data set is open marks an
            # adapter and changes no number, so an entry for another data set repeats no run.
            files = set(used["files"])
            files -= {"workflow_scripts/models/variants.yaml", "workflow_scripts/sources/datasets.yaml"}
            assert files <= set(entry.code), path
    assert steps >= {
        "simulate_mimic",
        "extract_events",
        "label_cohort",
        "make_windows",
        "prepare_weights",
        "run_arm",
    }


def test_no_module_counts_that_a_step_cannot_reach(
    copy: Path, declared: dict[str, Declared], concerned: dict[str, set[str]]
):
    """What can be reached is what the standard library's modulefinder finds in the compiled code."""

    @cache
    def reachable(roots: tuple[str, ...]) -> set[str]:
        finder = ModuleFinder(path=[str(copy)])
        for root in roots:
            finder.import_hook(root)
        return {name for name in finder.modules if name.partition(".")[0] == "workflow_scripts"}

    # Methods are found by being in their folder, so whoever imports the folder may use any of them.
    package = "workflow_scripts.adaptation.methods"
    methods = tuple(f"{package}.{path.stem}" for path in (copy / package.replace(".", "/")).glob("[!_]*.py"))
    for path, entry in declared.items():
        found = reachable(tuple(name for name in entry.code if "/" not in name))
        extra = concerned[path] - (found | reachable(methods) if package in found else found)
        assert not extra, f"{path} would run again for {extra}"


def test_words_for_people_in_every_module_change_nothing(copy: Path, declared: dict[str, Declared]):
    before = {path: current_hash(copy, entry) for path, entry in declared.items()}
    sources = {path: path.read_text() for path in (copy / "workflow_scripts").rglob("*.py")}
    try:
        for path, text in sources.items():
            path.write_text(f'{text}\n# A remark.\n"""A docstring."""\n')
        assert {path: current_hash(copy, entry) for path, entry in declared.items()} == before
    finally:
        for path, text in sources.items():
            path.write_text(text)


CODE = {
    "steps/simulate_mimic.py": {"simulate_mimic": 1} | FROM_EVENTS,
    "steps/extract_events.py": FROM_EVENTS,
    "sources/mimic_iii/items.yaml": {"simulate_mimic": 1} | FROM_EVENTS,
    "sources/mimic_iii/checks/assertions.yaml": {},
    "sources/datasets.yaml": {"make_report": 1, "sync_tracking": 1},
    "sources/own_tables.py": {},
    "steps/label_cohort.py": FROM_COHORTS,
    "cohorts/concepts/sofa.sql": FROM_COHORTS,
    "cohorts/definitions/angus.sql": {},
    "cohorts/description.sql": {"describe_cohort": 1, "make_report": 1},
    "steps/make_windows.py": FROM_WINDOWS,
    "steps/prepare_weights.py": {"prepare_weights": 1} | MOIRAI | SUMMARY,
    "training/loop.py": RUNS | SUMMARY,
    "adaptation/methods/lora.py": {"adapt_and_forecast": 1} | SUMMARY,
    "adaptation/methods/dora.py": SUMMARY,
    "models/moirai.py": MOIRAI | SUMMARY,
    "models/lag_llama/model.py": {},
    "models/scratch/n_hits.py": {},
    "steps/aggregate_metrics.py": REPORT,
    "reporting/templates/report.html.j2": {"make_report": 1},
    "steps/make_report.py": {"make_report": 1},
    "reporting/charts.py": {"make_report": 1},
    "tracking/pages.py": {"sync_tracking": 1},
    "tracking/mirror.py": {"sync_tracking": 1},
    "runtime/progress.py": {},
    "runtime/display/handler.py": {},
    "steps/evaluate_transfer.py": {},
    "steps/choose_adapter.py": {},
}
"""File of the package -> the jobs that its edit runs again, as a person who knows the workflow would say."""


SOME_CODE = (
    "sources/datasets.yaml",
    "sources/own_tables.py",
    "steps/label_cohort.py",
    "steps/prepare_weights.py",
    "models/moirai.py",
    "steps/aggregate_metrics.py",
    "runtime/display/handler.py",
)


@pytest.mark.parametrize(
    "names", [SOME_CODE, pytest.param(tuple(CODE), marks=pytest.mark.faults)], ids=["some", "all"]
)
def test_an_edit_runs_the_jobs_that_it_concerns_and_no_other(
    copy: Path, names: tuple[str, ...], record_property: Callable[[str, object], None]
):
    record_property("injected", len(names))
    edits = []
    for name in names:
        path = copy / "workflow_scripts" / name
        remark = {".py": EDIT, ".sql": "\n-- edited\n", ".j2": " "}.get(path.suffix, "\n# edited\n")
        edits.append({f"workflow_scripts/{name}": path.read_text() + remark})
    planned = dict(zip(names, plans(copy, [{}, *edits])[1:], strict=True))
    assert planned == {name: CODE[name] for name in names}


def test_every_data_file_of_the_package_belongs_to_a_step(changed_project: Path):
    study = TINY_STUDY | {"cohorts": definition_names()}
    set_study(changed_project, study)
    entries = declared_settings(changed_project, "all").values()
    data = {
        path.relative_to(changed_project).as_posix()
        for path in (changed_project / "workflow_scripts").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert len(data) > 30
    # Of the programs count_cohorts, compare_sepsis3 and document_results, which no rule runs, of check_mimic, and of
    # data sets in MEDS.
    assert data - {name for entry in entries for name in entry.code} == {
        "workflow_scripts/sources/meds/mappings/eicu.yaml",
        "workflow_scripts/sources/meds/mappings/mimic-iv.yaml",
        "workflow_scripts/sources/meds/sepsis_codes.yaml",
        "workflow_scripts/cohorts/comparison.sql",
        "workflow_scripts/reporting/templates/results.md.j2",
        "workflow_scripts/sources/mimic_iii/checks/assertions.yaml",
    }


# ---- Parameters

PARAMETERS: dict[str, tuple[Any, dict[str, int]]] = {
    "simulator": ({"patients": 61}, {"simulate_mimic": 1} | FROM_EVENTS),
    "extraction": ({"plausible_ranges": False}, FROM_EVENTS),
    "cohort": ({"minimum_age_years": 21}, FROM_COHORTS),
    "sepsis3": ({"definition": "mimic_code"}, FROM_COHORTS),
    "windows": ({"train_stride": 6}, FROM_WINDOWS),
    "pretraining": ({"steps": 10}, {"make_report": 1}),
    "adaptation": ({"lora_alpha": 8}, {"adapt_and_forecast": 1} | SUMMARY),
    "training": ({"steps": 5}, RUNS | SUMMARY),
    "tuning": ({"steps": [2]}, RUNS | SUMMARY),
    "forecast": ({"samples": 12}, RUNS | SUMMARY),
    "evaluation": ({"resamples": 300}, REPORT),
    "report": ({"examples": "never"}, {"make_report": 1}),
    "tracking": ({"uri": "sqlite:///other.db"}, {"sync_tracking": 1}),
    "ranks": ([2, 4], {"adapt_and_forecast": 1} | SUMMARY),
    "seeds": ([0, 1], RUNS | SUMMARY),
    "arms": (["zero-shot", "full", "lora", "dora"], {"adapt_and_forecast": 1} | SUMMARY),
    "models": (["moirai-nano", "chronos-t5-nano"], {"prepare_weights": 1} | MOIRAI | SUMMARY),
    "baselines": (["persistence", "mean-of-context"], {"forecast_baseline": 1} | SUMMARY),
    "from_scratch": (FROM_SCRATCH["from_scratch"], {"train_from_scratch": 3} | SUMMARY),
    "weights": (
        {"moirai-nano": "elsewhere"},
        {"prepare_weights": 1} | MOIRAI | SUMMARY,
    ),
    "unfinished": (True, {"make_report": 1}),
}
"""Group of params.yaml -> another value, and the jobs that it runs on a clone without Snakemake's memory."""

OTHER_DATA = {"dataset", "sources", "sites", "own_cohorts", "cohorts", "vitals", "transfer"}
"""These make other files, beside those that are there."""


SOME_PARAMETERS = ("cohort", "windows", "training", "evaluation", "ranks", "baselines", "weights")


@pytest.mark.parametrize(
    ("names", "memory"),
    [
        (SOME_PARAMETERS, False),
        pytest.param(tuple(PARAMETERS), False, marks=pytest.mark.faults),
        pytest.param(tuple(PARAMETERS), True, marks=pytest.mark.faults),
    ],
    ids=["some on a clone", "all on a clone", "all in place"],
)
def test_a_parameter_is_noticed_and_runs_only_what_it_concerns(
    undisturbed: Undisturbed,
    names: tuple[str, ...],
    memory: bool,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
):
    """On a clone Snakemake remembers nothing; in place it also compares parameters and code with what it noted."""
    record_property("injected", len(names))
    folder = copy_study(undisturbed.project, tmp_path / "project")
    if not memory:
        shutil.rmtree(folder / ".snakemake")
    (folder / "elsewhere").symlink_to(folder / "weights/embedded/moirai-nano")
    studies: list[dict[str, str | None]] = [{}]
    for name in names:
        value = PARAMETERS[name][0]
        changed = STUDY[name] | value if isinstance(value, dict) and name != "weights" else value
        studies.append({"params.yaml": yaml.safe_dump(STUDY | {name: changed})})
    unchanged, *planned = plans(folder, studies)
    assert unchanged == {}
    assert dict(zip(names, planned, strict=True)) == {name: PARAMETERS[name][1] for name in names}


def test_every_parameter_is_among_them():
    assert set(Study.model_fields) == set(PARAMETERS) | OTHER_DATA


# ---- DVC

STAGES = {
    "simulate": {"simulate_mimic"},
    "data": {"extract_events", "label_cohort", "describe_cohort", "make_windows"},
    "weights": {"prepare_weights"},
    "runs": {"run_arm", "evaluate_transfer"},
    "summary": {"aggregate_metrics", "make_report", "sync_tracking"},
}
ON_REQUEST = ("results/simulated/best/", "weights/pretrained/", "data/raw/simulated-monitor/")
"""What rules make that are in no stage."""


def stages(folder: Path) -> Iterator[tuple[str, list[str], list[str], list[str]]]:
    """Name, dependencies, parameters and outputs of every stage."""
    text = (folder / "dvc.yaml").read_text().replace("${dataset}", "simulated")
    for name, stage in yaml.safe_load(text)["stages"].items():
        outputs = [*stage.get("outs", []), *stage.get("metrics", [])]
        yield name, stage["deps"], stage["params"], [name for output in outputs for name in output]


def within(name: str, folders: list[str]) -> int:
    return sum(f"{name}/".startswith(f"{folder}/") for folder in folders)


def test_every_file_that_the_workflow_makes_belongs_to_one_stage(project: Path):
    tracked = set(run_in(project, "git", "ls-files").stdout.splitlines())
    outputs = [name for _, _, _, names in stages(project) for name in names]
    made = [
        path.relative_to(project).as_posix()
        for top in ("data", "weights", "results")
        for path in (project / top).rglob("*")
        if path.is_file()
    ]
    made = [name for name in made if name not in tracked and not name.startswith(ON_REQUEST)]
    assert len(made) > 100
    assert [name for name in made if within(name, outputs) != 1 and not name.endswith(".gitignore")] == []


def test_a_stage_depends_on_all_code_and_parameters_of_its_steps(
    project: Path, declared: dict[str, Declared], concerned: dict[str, set[str]]
):
    for name, dependencies, parameters, _ in stages(project):
        for path, entry in declared.items():
            if entry.step not in STAGES[name]:
                continue
            files = [module.replace(".", "/") for module in concerned[path] if module.count(".")]
            files = [file if (project / file).is_dir() else f"{file}.py" for file in files]
            files += [file for file in entry.code if "/" in file]
            # The programs say which rooms they use; a room's __init__ holds nothing.
            missing = [
                file for file in files if not (project / file).is_dir() and not within(file, dependencies)
            ]
            assert not missing, f"stage {name}, {entry.step}: {missing}"
            assert set(entry.groups) - {"dataset"} <= set(parameters), f"stage {name}, {entry.step}"
