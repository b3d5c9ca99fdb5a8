"""Fracast-0: one small convolution block over 2,048 steps, which gives nine quantiles of the next 48 (fracast 0.1.0).

Upstream: the Python package `fracast`, whose wheel holds its published weights. `shared_context.py` computes what
upstream computes with much less work on short contexts.
"""

from workflow_scripts.models.fracast.model import Fracast

__all__ = ["Fracast"]
