"""Routine charting that no study reads: most of the rows of the real CHARTEVENTS."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

Answers: TypeAlias = Sequence[str] | Sequence[float]

_LUNGS = ["Clear", "Rhonchi", "Diminished", "Ins/Exp Wheeze"]
_ECTOPY = ["None", "PVC's", "PAC's"]
_TURNS = ["Side to Side", "Back", "Right Side", "Left Side"]
_SAFETY = ["Adequate lighting", "Bed locked in low position", "Call light within reach"]
_SITES = ["Oral", "Axillary", "Rectal", "Blood"]

_CAREVUE: dict[int, Answers] = {
    31: ["Bedrest", "Chair", "Commode", "Ambulate"],
    113: [9, 10, 11, 12],
    128: ["Full Code", "Do Not Resuscita", "Comfort Measures"],
    159: ["None", "Occasional", "Rare", "Frequent"],
    161: _ECTOPY,
    210: ["30 degrees", "45 degrees", "15 degrees", "Flat in Bed"],
    550: ["Universal", "Contact", "Droplet"],
    637: ["Side Rails Up", "All rails up", "3 rails up"],
    674: _SITES,
    704: _TURNS,
    742: [1],
    1125: ["MICU", "NSICU", "CSICU", "CCU"],
    1484: ["Yes", "Other/Remarks"],
    5815: [45, 50, 60],
    5817: [60, 80, 85, 90],
    5819: [8, 9, 10],
    5820: [88, 90, 92, 93],
    8549: [110, 120, 130, 140],
    8551: [150, 160, 170, 175],
    8553: [30, 35, 40, 45],
    8554: [98, 100],
}
_METAVISION: dict[int, Answers] = {
    223781: ["No", "Yes"],
    223792: ["Repositioned", "IV Drip", "Backrub", "Not applicable"],
    223795: ["Patient Verbalized", "Non-verbal Cues", "Change in Vitals"],
    223898: ["Unable to Assess", "Oriented x3", "Oriented x1", "Oriented x2"],
    223986: _LUNGS,
    223988: _LUNGS,
    223999: ["Teeth/Tissue WNL", "Loose Teeth", "Oral Ulcers"],
    224080: ["30 Degrees", "45 Degrees", "90 Degrees", "15 Degrees"],
    224082: _TURNS,
    224084: ["Bedrest", "Chair", "Dangle", "Commode"],
    224085: ["2 Person Assist", "1 Person Assist", "Total Lift", "Independent"],
    224086: ["Tolerated Well", "Good", "Fair", "Poor"],
    224093: ["Right Side", "Supine", "Left Side", "Rotating"],
    224168: [0, 1],
    224641: [0, 1],
    224642: _SITES,
    224650: _ECTOPY,
    226104: ["Alert", "Unresponsive", "Arouse to Voice", "Arouse to Stimulation"],
    227700: _SAFETY,
    227969: _SAFETY,
}

ROUTINE_TEXTS = sorted({answer for answers in [*_CAREVUE.values(), *_METAVISION.values()]
                        for answer in answers if isinstance(answer, str)})  # fmt: skip


def _answers(items: dict[int, Answers]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every pair of item and answer as ITEMID, number (or NaN) and text (or -1)."""
    pairs = [(itemid, answer) for itemid, answers in items.items() for answer in answers]
    numbers = [np.nan if isinstance(answer, str) else answer for _, answer in pairs]
    texts = [ROUTINE_TEXTS.index(answer) if isinstance(answer, str) else -1 for _, answer in pairs]
    return np.array([itemid for itemid, _ in pairs]), np.array(numbers), np.array(texts)


def routine_rows(
    rng: np.random.Generator, metavision: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one routine row for each moment: ITEMID, number (or NaN), index into ROUTINE_TEXTS (or -1)."""
    carevue, modern = _answers(_CAREVUE), _answers(_METAVISION)
    drawn = rng.random(len(metavision))
    place = np.where(metavision, len(carevue[0]) + drawn * len(modern[0]), drawn * len(carevue[0]))
    itemid, number, text = (
        np.concatenate(pair)[place.astype(int)] for pair in zip(carevue, modern, strict=True)
    )
    return itemid, number, text
