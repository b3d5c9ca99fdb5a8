"""params.yaml as one checked model: every setting, its default, and the list of runs that follows."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from workflow_scripts.adaptation.arms import (
    ADAPTATION_METHODS,
    BASELINE,
    SCRATCH_ARMS,
    ZERO_SHOT,
    Arm,
    expand_arms,
)
from workflow_scripts.adaptation.methods import METHOD_MODULES
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.cohorts.definitions import definition_names
from workflow_scripts.cohorts.parameters import CohortParameters, Sepsis3Parameters
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.sites import PATTERN, run_folder, split_site
from workflow_scripts.evaluation.transfer_plan import Transfer, transferred_arms, transfers
from workflow_scripts.models.baselines import BASELINES, check_baseline
from workflow_scripts.models.parameters import PretrainingParameters
from workflow_scripts.models.registry import (
    MODELS,
    MULTIVARIATE_VARIANTS,
    SCRATCH_VARIANTS,
    VARIANTS,
    check_covariates,
    check_geometry,
    family_module,
)
from workflow_scripts.models.sources import EMBEDDED, HUB, PACKAGE, allowed_sources
from workflow_scripts.reporting.parameters import ReportParameters
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import holds_json, write_json
from workflow_scripts.runtime.hashing import code_hash
from workflow_scripts.runtime.parameters import Parameters, TrackingParameters
from workflow_scripts.runtime.storage import require_past_times
from workflow_scripts.sources.mimic_iii.items import vital_names
from workflow_scripts.sources.mimic_iii.parameters import ExtractionParameters, SimulatorParameters
from workflow_scripts.sources.parameters import SourceParameters
from workflow_scripts.sources.source import Source, source_of
from workflow_scripts.training.parameters import ForecastParameters, TrainingParameters, TuningParameters
from workflow_scripts.windows.parameters import WindowParameters

DATASET_NAME = "[a-z0-9][a-z0-9-]*"

RENAMED = {"references": "baselines"}
"""Settings of earlier versions, and their names today."""


@dataclass(frozen=True)
class Run:
    """One job of the study: a model under an arm, on one cohort and vital sign, with one seed."""

    cohort: str
    vital: str
    model: str
    arm: str
    seed: int


def _known(names: list[str], allowed: tuple[str, ...], kind: str) -> list[str]:
    """Refuse unknown and repeated names, all of them in one message."""
    problems = [f"{name!r} is no {kind}{_suggestion(name, allowed)}" for name in names if name not in allowed]
    problems += [f"{name!r} is named twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    if problems:
        raise ValueError(f"{'; '.join(problems)}; allowed: {', '.join(allowed)}")
    return names


def _plain_names(names: list[str]) -> list[str]:
    """Refuse names that no file should have: your own cohort tables are found by their name."""
    wrong = [name for name in names if not re.fullmatch(r"[a-z0-9_]+", name)]
    if wrong or len(set(names)) < len(names):
        raise ValueError(
            f"{', '.join(map(repr, wrong)) or 'a repeated name'}; allowed: a-z, 0-9 and _, each once"
        )
    return names


def _suggestion(name: str, allowed: tuple[str, ...] | list[str]) -> str:
    close = difflib.get_close_matches(name, allowed, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


class Study(Parameters):
    """The whole study. params.yaml may leave out any setting; unknown ones are refused."""

    dataset: str = Field(
        "simulated",
        pattern=f"^{DATASET_NAME}$",
        description="simulated, mimic-iii-demo or mimic-iii; or a folder of your own data below data/raw "
        "(docs/own-data.md), as simulated-monitor",
    )
    sources: dict[str, SourceParameters] = Field(
        {},
        description="a data set's name: {format, path, options of the format} (docs/data.md); data sets that come with "
        "a name need no entry, and keep what theirs leaves out",
    )
    own_cohorts: dict[str, str] = Field(
        {}, description="cohorts of your own: name and SQL file (docs/cohorts.md); name them in `cohorts` too"
    )
    cohorts: list[str] = Field(["sepsis3"], min_length=1, description="cohort definitions")
    vitals: list[str] = Field(
        ["heart_rate", "mean_blood_pressure"], min_length=1, description="vital signs, each forecast alone"
    )
    models: list[str] = Field(
        ["chronos-t5-nano", "moirai-nano", "lag-llama-nano"], description="foundation models, by variant name"
    )
    baselines: list[str] = Field(
        ["persistence", "mean-of-context", "seasonal-naive", "auto-ets", "theta"],
        description="forecasts to compare with, for which nothing is trained",
    )
    from_scratch: list[str] = Field(
        ["n-hits-hr"],
        description="models that are trained from a random start, each with a plain, the DILATE and a quantile loss",
    )
    arms: list[str] = Field(
        ["zero-shot", "full", "lora"],
        description="adaptation methods; one with a rank gives one arm for each rank",
    )
    ranks: list[int] = Field([1, 2, 4, 8], description="ranks of the methods that have one")
    seeds: list[int] = Field([0], min_length=1, description="seeds; each repeats every run")
    transfer: bool = Field(
        False,
        description="evaluate what was learned on each cohort on the test windows of every other one too "
        "(docs/statistics.md)",
    )
    sites: list[str] = Field(
        [],
        description="cohorts of other data sets, as eicu-demo.all, whose studies have run with the same settings: with "
        "transfer, adapters of each are evaluated on all others too (docs/choosing.md)",
    )
    unfinished: bool = Field(
        False,
        description="make tables and report of the runs that have finished, train nothing, and name the missing runs "
        "with the reason that their logs give (docs/running.md)",
    )
    weights: dict[str, str] = Field(
        {},
        description="where a model's weights come from: embedded, package, hub, or a path; by default embedded for the "
        "nano models, package for fracast, and hub for the other published ones",
    )
    simulator: SimulatorParameters = Field(SimulatorParameters(), description="the simulated data set")
    extraction: ExtractionParameters = Field(ExtractionParameters(), description="raw tables to events")
    cohort: CohortParameters = Field(CohortParameters(), description="inclusion steps of every cohort")
    sepsis3: Sepsis3Parameters = Field(Sepsis3Parameters(), description="the Sepsis-3 definition")
    windows: WindowParameters = Field(WindowParameters(), description="grid, windows and split")
    pretraining: PretrainingParameters = Field(PretrainingParameters(), description="the nano models")
    adaptation: AdaptationParameters = Field(AdaptationParameters(), description="adaptation methods")
    training: TrainingParameters = Field(TrainingParameters(), description="the training budget of every arm")
    tuning: TuningParameters = Field(
        TuningParameters(), description="candidates that every arm tries; none: the paper's protocol"
    )
    forecast: ForecastParameters = Field(ForecastParameters(), description="how forecasts are drawn")
    evaluation: EvaluationParameters = Field(
        EvaluationParameters(), description="intervals, comparisons and rank thresholds"
    )
    report: ReportParameters = Field(ReportParameters(), description="what the report shows")
    tracking: TrackingParameters = Field(TrackingParameters(), description="where MLflow keeps the runs")

    @field_validator("cohorts")
    @classmethod
    def _known_cohorts(cls, names: list[str], info: ValidationInfo) -> list[str]:
        # Where one of these was refused, only it is reported.
        if "dataset" not in info.data or "sources" not in info.data:
            return names
        source = source_of(info.data["dataset"], info.data["sources"].get(info.data["dataset"]))
        if source.labels_cohorts:
            return _known(names, (*definition_names(), *info.data.get("own_cohorts", {})), "cohort")
        return _known(names, tuple(source.cohorts), "cohort") if source.cohorts else _plain_names(names)

    @field_validator("sources")
    @classmethod
    def _possible_sources(cls, entries: dict[str, SourceParameters]) -> dict[str, SourceParameters]:
        wrong = [name for name in entries if not re.fullmatch(DATASET_NAME, name)]
        if wrong:
            raise ValueError(f"{', '.join(map(repr, wrong))}; allowed in a name: a-z, 0-9 and -")
        for name, entry in entries.items():
            try:
                source_of(name, entry)
            except UserError as error:
                raise ValueError(f"{error.where}: {error.found}; allowed: {error.expected}") from None
        return entries

    @field_validator("own_cohorts")
    @classmethod
    def _new_cohorts(cls, files: dict[str, str]) -> dict[str, str]:
        _plain_names(list(files))
        taken = sorted(set(files) & set(definition_names()))
        if taken:
            raise ValueError(f"{', '.join(taken)}: names of definitions that come with the workflow")
        return files

    @field_validator("vitals")
    @classmethod
    def _known_vitals(cls, names: list[str], info: ValidationInfo) -> list[str]:
        names = _known(names, tuple(vital_names()), "vital sign")
        dataset = info.data.get("dataset")
        if dataset and "sources" in info.data:
            source = source_of(dataset, info.data["sources"].get(dataset))
            missing = [name for name in names if source.vitals and name not in source.vitals]
            if missing:
                raise ValueError(
                    f"{dataset} has no {', no '.join(missing)}; allowed: {', '.join(source.vitals)}"
                )
        return names

    @field_validator("models")
    @classmethod
    def _known_models(cls, names: list[str]) -> list[str]:
        return _known(names, (*VARIANTS, *MULTIVARIATE_VARIANTS), "model")

    @field_validator("from_scratch")
    @classmethod
    def _known_scratch_models(cls, names: list[str]) -> list[str]:
        return _known(names, tuple(SCRATCH_VARIANTS), "model that is trained from scratch")

    @field_validator("baselines")
    @classmethod
    def _known_baselines(cls, names: list[str]) -> list[str]:
        return _known(names, tuple(BASELINES), "baseline")

    @field_validator("windows")
    @classmethod
    def _known_covariates(cls, windows: WindowParameters) -> WindowParameters:
        _known(windows.covariates, tuple(vital_names()), "vital sign for covariates")
        return windows

    @field_validator("arms")
    @classmethod
    def _known_arms(cls, names: list[str]) -> list[str]:
        return _known(names, ADAPTATION_METHODS, "arm")

    @field_validator("weights")
    @classmethod
    def _known_weights(cls, sources: dict[str, str]) -> dict[str, str]:
        _known(list(sources), tuple(VARIANTS), "model")
        for name, source in sources.items():
            allowed = allowed_sources(VARIANTS[name])
            if source in (EMBEDDED, PACKAGE, HUB) and source not in allowed:
                raise ValueError(f"{name} is not from {source!r}; allowed: {', '.join(allowed)}, or a path")
        return sources

    @field_validator("ranks", "seeds")
    @classmethod
    def _whole_numbers_once(cls, numbers: list[int], info: Any) -> list[int]:
        smallest = 1 if info.field_name == "ranks" else 0
        if min(numbers, default=smallest) < smallest:
            raise ValueError(f"each must be at least {smallest}")
        if len(set(numbers)) < len(numbers):
            raise ValueError("each may be named once")
        return numbers

    @model_validator(mode="after")
    def _one_budget_where_it_is_tuned(self) -> Study:
        tuned = self.tuning.learning_rates or self.tuning.steps
        if tuned and self.from_scratch and self.training.from_scratch == "released":
            raise ValueError(
                "tuning gives every arm the same candidates, and training.from_scratch: released gives models from "
                "scratch a budget of their own; say training.from_scratch: shared, or leave from_scratch empty"
            )
        return self

    @field_validator("sites")
    @classmethod
    def _sites_elsewhere(cls, names: list[str], info: ValidationInfo) -> list[str]:
        wrong = [name for name in names if not re.fullmatch(PATTERN, name)]
        wrong += [name for name in names if name.startswith(f"{info.data.get('dataset')}.")]
        if wrong or len(set(names)) < len(names):
            raise ValueError(
                f"{', '.join(map(repr, wrong)) or 'a repeated name'}; allowed: another data set's name, a dot and "
                "one of its cohorts, as eicu-demo.all, each once"
            )
        if names and not info.data.get("transfer"):
            raise ValueError("sites take part in transfers; say transfer: true, or leave sites empty")
        return names

    @model_validator(mode="after")
    def _stays_that_have_a_window(self) -> Study:
        """Unless it is given, the shortest stay follows from the windows. Settings are frozen, so `object` sets it."""
        if "minimum_stay_hours" not in self.cohort.model_fields_set:
            hours = self.windows.shortest_series * self.windows.interval_minutes / 60
            cohort = self.cohort.model_copy(update={"minimum_stay_hours": hours})
            object.__setattr__(self, "cohort", cohort)
        return self

    @model_validator(mode="after")
    def _transfer_to_new_patients(self) -> Study:
        if self.transfer and self.windows.split != "by_patient":
            raise ValueError(
                "transfer evaluates on patients whom the adapter has not seen, and with windows.split: by_window_leaky "
                "it has seen them; say windows.split: by_patient, or transfer: false"
            )
        return self

    @model_validator(mode="after")
    def _windows_that_models_take(self) -> Study:
        windows = self.windows
        try:
            for name, vital in itertools.product(self.models, self.vitals):
                covariates = windows.covariates_of(vital)
                check_covariates(MODELS[name], covariates)
                check_geometry(MODELS[name], windows.context, windows.horizon, len(covariates))
            for name in self.from_scratch:
                check_geometry(MODELS[name], windows.context, windows.horizon)
            for name in self.baselines:
                check_baseline(name, windows.context, windows.interval_minutes)
        except UserError as error:
            raise ValueError(f"{error.where}: {error.found}; {error.expected}; {error.remedy}") from None
        return self

    def source(self) -> Source:
        """Where the study's patients come from."""
        return source_of(self.dataset, self.source_entry())

    def source_entry(self) -> SourceParameters:
        """The entry of the study's data set in `sources`; an empty one where it has none."""
        return self.sources.get(self.dataset, SourceParameters())

    def arm_list(self) -> list[Arm]:
        """Every arm of a foundation model."""
        return expand_arms(self.arms, self.ranks)

    def runs(self) -> list[Run]:
        """Every job of the study, in the order of the tables."""
        subjects = [(name, BASELINE) for name in self.baselines]
        subjects += [(name, arm) for name in self.from_scratch for arm in SCRATCH_ARMS]
        subjects += [(name, arm) for name in self.models for arm in self.arm_list()]
        return [
            Run(cohort, vital, model, arm.name, seed)
            for cohort, vital, (model, arm), seed in itertools.product(
                self.cohorts, self.vitals, subjects, self.seeds
            )
        ]

    def transfers(self) -> list[Transfer]:
        """Every job that evaluates an adapter on another cohort; none unless the study asks for it."""
        if not self.transfer:
            return []
        names = [*self.cohorts, *self.sites]
        return transfers(names, self.vitals, self.models, self.arm_list(), self.seeds)

    def site_runs(self) -> list[Run]:
        """The runs of other studies that transfers from and to sites need; `cohort` is the site."""
        arms = [
            *(arm for arm in self.arm_list() if arm == ZERO_SHOT),
            *transferred_arms(self.arm_list()),
        ]
        return [
            Run(site, vital, model, arm.name, seed)
            for site, vital, model, arm, seed in itertools.product(
                self.sites, self.vitals, self.models, arms, self.seeds
            )
        ]

    def require_sites(self) -> None:
        """Raise UserError where the study of a site has not run."""
        for site in self.sites:
            runs = [run for run in self.site_runs() if run.cohort == site]
            needed = [run_folder(self.dataset, **vars(run)) / "run.json" for run in runs]
            missing = [path for path in needed if not path.is_file()]
            if missing:
                dataset, cohort = split_site(site, self.dataset)
                raise UserError(
                    f"site {site}",
                    f"no {missing[0]}"
                    + (f", and {len(missing) - 1} more runs are missing" * (len(missing) > 1)),
                    "a finished study of that data set with the same vital signs, models, arms and seeds",
                    f"first: snakemake --cores all --config dataset={dataset} cohorts='[{cohort}]' sites='[]' "
                    "(and your other settings)",
                )


SHOWN_ONLY = (
    "workflow_scripts.runtime.benchmark",
    "workflow_scripts.runtime.device",
    "workflow_scripts.runtime.progress",
    "workflow_scripts.runtime.warm",
)
"""What jobs that forecast show, measure or wait for: no forecast depends on it."""

EVENT_DEFINITIONS = "workflow_scripts/evaluation/events/definitions.yaml"

FORECASTING_STEPS = ("workflow_scripts.steps.run_arm", "workflow_scripts.steps.evaluate_transfer")


def step_code_hash(code: list[str]) -> str:
    """The hash of the code that a step's result depends on. code: the step's module first, then what else counts."""
    return code_hash(code, ignored=ignored_code(code))


def ignored_code(code: Sequence[str]) -> tuple[str, ...]:
    """The modules that a step loads, and on which its result does not depend: for a run, also all other methods."""
    if code[0] not in FORECASTING_STEPS:
        return ()
    return (*SHOWN_ONLY, *(module for module in METHOD_MODULES if module not in code))


def family_code(model: str) -> list[str]:
    """The module of a model's family, which is found by name; none for a baseline."""
    return [family_module(MODELS[model].family)] if model in MODELS else []


def run_code(model: str, arm: Arm) -> list[str]:
    """The code that a run depends on: the step, and what is found by name: its method, events, and its family."""
    return [
        "workflow_scripts.steps.run_arm",
        type(arm.definition).__module__,
        EVENT_DEFINITIONS,
        *family_code(model),
    ]


def run_imports(model: str, arm: str) -> list[str]:
    """The modules that a run imports when it comes to them; a warm server imports them once (docs/start-up.md)."""
    if model in BASELINES:
        return ["pyarrow.dataset", *([] if BASELINES[model].point_forecast else ["statsforecast.models"])]
    return [
        "pyarrow.dataset",
        "workflow_scripts.training.inference",
        "workflow_scripts.training.tuning",
        family_module(MODELS[model].family),
        *(["peft"] if Arm.parse(arm).definition.uses_peft else []),
    ]


def transfer_code(model: str, arm: Arm) -> list[str]:
    """The modules that the evaluation of an adapter on another cohort depends on."""
    return ["workflow_scripts.steps.evaluate_transfer", *run_code(model, arm)[1:]]


def arm_settings(study: Study, arm: Arm) -> dict[str, Any]:
    """The settings of `adaptation` that an arm's method has: other methods' change nothing for it."""
    return study.adaptation.model_dump(mode="json", include=set(arm.definition.parameters.model_fields))


def weights_folder_of(model: str) -> str | None:
    """The name of the folder of prepared weights that a model starts from; None where it has none."""
    folder = MODELS[model].weights_of if model in MODELS else None
    return folder if folder in VARIANTS else None


def load_study(values: Mapping[str, Any], where: str = "params.yaml") -> Study:
    """Check the settings; raise one UserError that lists every problem with its path and what is allowed."""
    try:
        return Study.model_validate(dict(values))
    except ValidationError as error:
        problems = [_describe(problem) for problem in error.errors()]
        raise UserError(
            where=where,
            found=f"{len(problems)} problem{'s' if len(problems) > 1 else ''}\n" + "\n".join(problems),
            expected="settings that docs/parameters.md lists, with possible values",
            remedy=f"correct {where} (or the --config option); nothing was run",
        ) from None


def _describe(problem: Any) -> str:
    """One line for one problem: path, what was found, what is allowed."""
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        if new_name := RENAMED.get(path):
            return f"    {path}: renamed; write {new_name} instead"
        allowed = _keys_beside(problem["loc"])
        suggestion = _suggestion(str(problem["loc"][-1]), allowed)
        return f"    {path}: unknown key{suggestion}; allowed: {', '.join(allowed)}"
    message = problem["msg"].removeprefix("Value error, ")
    if isinstance(problem["input"], Mapping) and problem["type"] == "value_error":
        # Settings that contradict each other: the message names them, the whole group would bury it.
        return f"    {path}: {message}" if path else f"    {message}"
    return f"    {path or '(top level)'}: found {problem['input']!r}: {message}"


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    """The allowed keys of the group that a key belongs to."""
    group: type[Parameters] = Study
    for part in location[:-1]:
        group = group.model_fields[str(part)].annotation  # type: ignore[assignment]
    return list(group.model_fields)


def write_step_settings(
    study: Study, groups: list[str], code: list[str], path: Path, extra: Mapping[str, Any] | None = None
) -> None:
    """Write what a step's result depends on, only where it differs from what is there.

    The file is an input of the step's jobs: a changed parameter or a changed line of code re-runs exactly
    what depends on it, also on a clone that has no memory of earlier runs.
    Raises UserError where results have times in the future.
    """
    parameters = {group: study.model_dump(mode="json")[group] for group in groups}
    write_settings(study, path, {"code": step_code_hash(code), "parameters": parameters | dict(extra or {})})


def write_settings(study: Study, path: Path, settings: Mapping[str, Any]) -> None:
    """Write a file on which results depend, only where it differs. Raises UserError where results have future times."""
    if not holds_json(path, settings):
        _require_past_results(study.dataset)
        write_json(path, settings)


@cache
def _require_past_results(dataset: str) -> None:
    """Raise UserError where a result is from the future: a changed settings file would not seem newer."""
    require_past_times(map(Path, (f"data/{dataset}", "weights/prepared", f"results/{dataset}")))
