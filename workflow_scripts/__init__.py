"""vitalora: adapt time-series foundation models to intensive-care vital signs.

Each room of this package does one thing (docs/architecture.md); the programs of the workflow are in `steps/`.
"""
