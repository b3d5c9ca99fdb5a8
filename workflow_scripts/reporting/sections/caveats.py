"""The limits of this run."""

from math import pi

from workflow_scripts.evaluation.names import listed, model_name
from workflow_scripts.models.registry import is_stand_in
from workflow_scripts.reporting.statistics import FEW_PATIENTS, FEW_SEEDS
from workflow_scripts.reporting.study import Study
from workflow_scripts.sources.datasets import dataset_of
from workflow_scripts.training.parameters import PAPER_SAMPLES


def caveats(study: Study) -> list[str]:
    """The limits of the runs, a sentence each; the first words name the limit."""
    rows, settings = study.rows, study.sources.settings
    found = []
    if dataset_of(study.dataset).patients == "simulated":
        found.append(
            "Simulated patients: the numbers show that the pipeline works, nothing about real patients."
        )
    if study.dataset == "mimic-iii-demo":
        found.append("The open demo holds 100 patients: far too few to rank models or arms.")
    if limits := study.sources.reading.get("limits"):
        found.append(f"What the data cannot tell: {' '.join(limits)}")
    nano = [model_name(model) for model in dict.fromkeys(row.model for row in rows) if is_stand_in(model)]
    if nano:
        found.append(
            f"Stand-in weights: {listed(nano)} {'are tiny networks' if len(nano) > 1 else 'is a tiny network'}, "
            "pre-trained on synthetic series within minutes, not the published foundation models."
        )
    if settings.get("windows", {}).get("split") == "by_window_leaky":
        found.append(
            "Leaky split: windows of one ICU stay can be in training and in test, as in the paper. "
            "The errors are too small for new patients."
        )
    if settings.get("windows", {}).get("smoothing", "none") != "none":
        found.append(
            "Smoothed series: a context knows the first step of its horizon, and targets are smoothed too. "
            "The errors are too small for what is charted, and events are not judged."
        )
    drawing = settings.get("forecast", {})
    if drawing.get("protocol") == "paper":
        samples = drawing.get("samples", PAPER_SAMPLES)
        covered = 80 * (samples - 1) / (samples + 1)
        found.append(
            f"Sampling noise: quantiles are those of {samples} independent paths, as in the paper. The 80 % interval "
            f"of a perfect sampler then covers {covered:.1f} %, and noise adds some {100 * pi / 2 / samples:.0f} % of "
            "the forecast's variance to its squared error, of sampled families alone."
        )
    seeds = len({row.seed for row in rows})
    if seeds == 1:
        found.append(
            "One seed: what another seed would change is in no interval; small differences can be chance."
        )
    elif seeds < FEW_SEEDS:
        found.append(f"{seeds} seeds: with fewer than {FEW_SEEDS}, intervals are too narrow.")
    intervals = study.sources.statistics.intervals
    patients = min((row.patients for row in intervals if row.low is not None), default=FEW_PATIENTS)
    if patients < FEW_PATIENTS:
        found.append(f"{patients} test patients: with fewer than {FEW_PATIENTS}, intervals are too narrow.")
    return found
