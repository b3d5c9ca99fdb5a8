"""Settings of the simulator and of the extraction."""

from pydantic import Field

from workflow_scripts.runtime.parameters import Parameters


class SimulatorParameters(Parameters):
    """The simulated MIMIC-III folder. The same settings give the same bytes."""

    patients: int = Field(400, ge=20, description="number of simulated patients")
    seed: int = Field(20240516, ge=0, description="seed of every random draw")
    septic_fraction: float = Field(0.5, ge=0, le=1, description="share of patients with a septic episode")
    routine_events: float = Field(
        0,
        ge=0,
        le=20,
        description="further chart events that no study reads, for each other one (about 4.7 in the open demo)",
    )


class ExtractionParameters(Parameters):
    """What is read out of the raw MIMIC-III tables."""

    plausible_ranges: bool = Field(
        True, description="drop values outside the plausible range of items.yaml, of every source"
    )
    consistent_blood_pressure: bool = Field(
        True,
        description="drop blood pressures of one time and device with systolic <= diastolic + 4, "
        "systolic <= mean or diastolic >= mean mmHg (the authors' public preprocessing)",
    )
