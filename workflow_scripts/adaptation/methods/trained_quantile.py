"""Training from a random start with a loss of nine quantiles."""

from workflow_scripts.adaptation.method import FromScratch


class TrainedQuantile(FromScratch):
    """The quantile loss at 0.1, 0.2, ..., 0.9 (Koenker and Bassett 1978), so that it forecasts a distribution."""

    name = "trained-quantile"
    label = "trained, quantile loss"
    loss = "quantile"
    forecasts_quantiles = True


METHOD = TrainedQuantile()
