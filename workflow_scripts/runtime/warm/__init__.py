"""Warm starts: a job is forked from a process that has imported its libraries, and costs seconds less.

`python -m workflow_scripts.runtime.warm STEP …` does what `python -m workflow_scripts.steps.STEP …` does. The client
(`__main__`) has a `server` fork a process for the `job`. docs/start-up.md says more.
"""
