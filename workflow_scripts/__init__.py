"""vitalora: adapt time-series foundation models to intensive-care vital signs.

Step modules (one per workflow rule) stand at the top of this package; each room below it does one thing.
docs/architecture.md draws the house.
"""
