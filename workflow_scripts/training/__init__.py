"""The one training loop and the one forecasting loop, for every family under every arm."""
