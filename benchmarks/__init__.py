"""Speed and memory, measured side by side. Run one from the project's folder: `python -m benchmarks.scoring --help`.

`harness.py` has what all of them share; each other module defines what it compares.
"""
