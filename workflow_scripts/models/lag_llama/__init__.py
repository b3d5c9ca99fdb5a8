"""Lag-Llama (Rasul et al. 2023, arXiv 2310.08278): a decoder-only transformer over lagged values.

An implementation of our own of what the upstream repository (time-series-foundation-models/lag-llama, commit
013ff0c) computes. The numeric fixtures in tests/models/lag_llama_fixtures keep the two equal.
"""

from workflow_scripts.models.lag_llama.model import LagLlama

__all__ = ["LagLlama"]
