"""Published numbers to hold beside one's own, with what is known of where they come from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedRow:
    """A model trained from scratch: MSE x 1e-4, MAPE in % and DTW x 1e-3 of the scaled series."""

    model: str
    covariates: str
    mean_blood_pressure: tuple[float, float, float]
    heart_rate: tuple[float, float, float]


PUBLISHED = (
    PublishedRow("N-HiTS", "with", (18.78, 7.83, 20.44), (7.37, 6.53, 13.12)),
    PublishedRow("N-HiTS", "without", (18.02, 7.46, 20.46), (7.22, 6.38, 13.97)),
    PublishedRow("N-BEATS", "with", (19.79, 8.03, 19.37), (8.73, 7.38, 14.36)),
    PublishedRow("N-BEATS", "without", (18.52, 7.60, 17.63), (7.48, 6.60, 10.71)),
    PublishedRow("TFT", "with", (18.89, 7.66, 25.93), (7.71, 6.72, 16.12)),
    PublishedRow("TFT", "without", (19.45, 7.82, 25.65), (8.12, 6.72, 16.65)),
)
"""From secondary notes on the group's earlier work (arXiv 2306.14016, 2311.04770); the N-BEATS row agrees
with the abstract of arXiv 2306.14016. The tables of arXiv 2405.10216 itself were not available."""

FINDINGS = {
    1: "Without adaptation, Chronos is ahead of Lag-Llama and MOIRAI.",
    2: "LoRA clearly improves every family over zero-shot.",
    3: "Lag-Llama: full fine-tuning is slightly better on mean blood pressure, LoRA on heart rate.",
    4: "MOIRAI: full fine-tuning is best with LoRA very close; full fine-tuning degrades the base and large sizes.",
    5: "Chronos: LoRA equals or beats full fine-tuning.",
    6: "LoRA on Chronos small beats the best model from scratch on heart rate; on tiny it comes near it on mean blood "
    "pressure.",
    7: "Gains level off as the rank grows; small models react more to it.",
}
"""The findings of arXiv 2405.10216, in our words after secondary notes."""
