"""A simulated MIMIC-III v1.4 folder: real tables, columns and ITEMIDs, invented patients.

What is planted, so that an analysis can be held against it:

- Every patient has set points of heart rate, pressure, pulse pressure and oxygenation, a circadian rhythm
  with a phase of its own (peak about 16 h; heart rate and mean pressure swing by about 1.5), and organ systems
  that react more or less strongly.
- Hourly noise is first-order autoregressive (correlation 0.7 to 0.95 after one hour), on a slow drift (0.985: it
  lasts for days). One source, arousal, moves heart rate, pressure, pulse pressure and breathing together; through
  the baroreflex, a heart beats 0.32 /min faster for each mmHg that the mean pressure is below the patient's own level.
- Sudden excursions with Laplace tails fade within an hour or two. They are larger in some patients than in others
  (`volatility`), and make the tails of hourly changes as heavy as those of real patients (docs/simulator.md).
- A share of the patients (`septic_fraction`) has one septic episode, 40 % of them around ICU admission,
  the others later. Its severity rises within hours, stays for half a day to a day and a half, and heals with
  a time constant of 18 to 40 h, or not at all in those who die (about a fifth). It brings fever (or, in one
  of ten, cold), tachycardia, tachypnoea, falling pressure, norepinephrine that aims at 65 mmHg, worse
  oxygenation, ventilation, coma, and less urine; organs feel it delayed by about ten hours.
- The evidence follows the hidden course: cultures and antibiotics at the onset, laboratory values, Glasgow
  scores, urine output, vasopressor rates, ICD-9 codes (038x; 995.92 and 785.52 in most; organ failures).
- Charting is the real thing's: hourly, denser in unrest, with delays, gaps, duplicates, lost values, error
  flags, slips (0, ten times, 999999), Fahrenheit and Celsius (also Fahrenheit within a Celsius item),
  damped pressure lines, rows without ICUSTAY_ID, stays without any chart event, texts with commas, several
  stays in an admission, a few minors, and ages above 89 shifted to 300 years.

Identifiers have eleven digits with a check, dates lie in 2300 to 2799 (admissions from 2600 on): no real row has
such an identifier or date, and the guard (docs/patient-data.md) finds them wherever they turn up.
"""

from functools import partial
from pathlib import Path

import numpy as np

from workflow_scripts.sources.mimic_iii.canaries import subject_id
from workflow_scripts.sources.mimic_iii.parallel import map_ahead
from workflow_scripts.sources.mimic_iii.parameters import SimulatorParameters
from workflow_scripts.sources.mimic_iii.simulator.bedside import bedside_events
from workflow_scripts.sources.mimic_iii.simulator.charting import chart_events
from workflow_scripts.sources.mimic_iii.simulator.dictionaries import write_dictionaries
from workflow_scripts.sources.mimic_iii.simulator.hospital import hospital_events
from workflow_scripts.sources.mimic_iii.simulator.patients import (
    CHUNK,
    draw_admissions,
    draw_people,
    draw_stays,
)
from workflow_scripts.sources.mimic_iii.simulator.physiology import draw_course
from workflow_scripts.sources.mimic_iii.simulator.write import Column, open_tables
from workflow_scripts.sources.mimic_iii.tables import TABLES


def simulate_mimic(parameters: SimulatorParameters, folder: Path) -> dict[str, int]:
    """Write every table as TABLE.csv.gz into an existing folder; return the number of rows of each.

    Patients are drawn and written in chunks, so that memory does not grow with their number. The same seed
    gives the same bytes, and a patient is the same however many others there are.
    """
    chunks = -(-parameters.patients // CHUNK)
    last_subject = subject_id(parameters.patients - 1)
    with open_tables(folder, list(TABLES), threaded="chartevents") as writers:
        write_dictionaries(writers)
        # While a chunk is written, the next one is drawn.
        drawn = map_ahead(partial(_draw_chunk, parameters), range(chunks), threads=1)
        for chunk, tables in enumerate(drawn):
            # Only the last chunk can hold patients who were not asked for.
            limit = last_subject if chunk == chunks - 1 else None
            for table, columns in tables.items():
                writers[table].write(columns, limit)
    return {table: writer.rows for table, writer in writers.items()}


def _draw_chunk(parameters: SimulatorParameters, chunk: int) -> dict[str, dict[str, Column]]:
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([parameters.seed, chunk])))
    people = draw_people(rng, chunk, parameters.septic_fraction)
    admissions, stays = draw_stays(rng, people, draw_admissions(rng, people))
    course = draw_course(rng, people, stays)
    return {
        **hospital_events(rng, people, admissions, stays, course),
        **bedside_events(rng, people, admissions, stays, course),
        "chartevents": chart_events(rng, people, admissions, stays, course, parameters.routine_events),
    }
