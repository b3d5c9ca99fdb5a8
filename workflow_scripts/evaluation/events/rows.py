"""The rows of events.csv and event_curves.csv."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EventRow:
    """How well one arm, or a baseline, foresees one event. Its fields are the columns of events.csv.

    condition: as `< 65`, in the vital sign's unit. population: onset (windows whose last value is fresh and not in the
    event) or state (all). form: at (at the lead), any (at any step up to it) or sustained. arm: `event-baseline` for
    last-value, context-mean, last-value-and-changes, logistic-regression and prevalence, which are no runs. events:
    distinct episodes. Values are means over seeds, low and high percentile intervals over patients and seeds.
    brier_recalibrated: after logistic recalibration on validation. miscalibration, discrimination: parts of the Brier
    score. calibration_in_the_large, calibration_slope: 0 and 1 are ideal. alarm_share: of the test windows, at the
    cut-off that gives an alarm in at most 5 or 10 % of the validation windows. net_benefit: at a probability of 10 %.
    lowest, highest: mean bounds of the probability of an event at any step. alarms_per_day to lead_minutes_median: of
    rolling origins, at the cut-off of 5 %: per watched patient-day, share of true ones, share of onsets that had one,
    and the time from the first true alarm to the onset. above_logistic: the Brier score minus that of the logistic
    regression (below zero the arm is better), p_holm corrected over the `comparisons` rows of the vital sign's main
    conditions at all leads; auroc_above_…: differences of the AUROC (above zero the arm is better). A row without a
    model says why a task is not shown. reason: what is missing, and why.
    """

    cohort: str
    vital: str
    event: str
    condition: str
    population: str
    form: str
    lead_minutes: int
    model: str
    arm: str
    seeds: int | None
    patients: int | None
    windows: int | None
    events: int | None
    patients_with_event: int | None
    prevalence: float | None = None
    auroc: float | None = None
    auroc_low: float | None = None
    auroc_high: float | None = None
    auprc: float | None = None
    auprc_low: float | None = None
    auprc_high: float | None = None
    brier: float | None = None
    brier_low: float | None = None
    brier_high: float | None = None
    brier_skill: float | None = None
    brier_recalibrated: float | None = None
    miscalibration: float | None = None
    discrimination: float | None = None
    calibration_in_the_large: float | None = None
    calibration_slope: float | None = None
    calibration_error: float | None = None
    alarm_share_5: float | None = None
    sensitivity_5: float | None = None
    ppv_5: float | None = None
    alarm_share_10: float | None = None
    sensitivity_10: float | None = None
    ppv_10: float | None = None
    net_benefit: float | None = None
    lowest: float | None = None
    highest: float | None = None
    alarms_per_day: float | None = None
    alarm_ppv: float | None = None
    onsets_detected: float | None = None
    lead_minutes_median: float | None = None
    above_logistic: float | None = None
    above_logistic_low: float | None = None
    above_logistic_high: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    comparisons: int | None = None
    auroc_above_last: float | None = None
    auroc_above_last_low: float | None = None
    auroc_above_last_high: float | None = None
    auroc_above_logistic: float | None = None
    auroc_above_logistic_low: float | None = None
    auroc_above_logistic_high: float | None = None
    reason: str = ""

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """As that of its EventTask."""
        return self.event, self.condition, self.population, self.form, self.lead_minutes


@dataclass(frozen=True)
class EventCurveRow:
    """A point of a curve of one arm for one event. Its fields are the columns of event_curves.csv.

    curve: reliability (x: mean probability, y: share of windows with the event, in ten equal bins of the probability;
    bins with fewer than 11 patients are left out) or decision (x: threshold of the probability, y: net benefit). Means
    over seeds. The arm `event-baseline` has the models logistic-regression, last-value (a decision by its recalibrated
    rank), and `all` and `none`, who are always and never treated.
    """

    cohort: str
    vital: str
    event: str
    condition: str
    lead_minutes: int
    model: str
    arm: str
    curve: str
    x: float
    y: float
