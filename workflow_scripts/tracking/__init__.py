"""Runs in MLflow: the mirror of run.json, for browsing. The only room that imports mlflow.

What is logged describes runs, never patients: parameters, metrics over all test windows, loss curves,
adapters and figures. Tables (forecasts, windows, events) hold a row for each window or value: as artifacts
they are refused.

    names       keys and names of runs and sweeps
    client      MLflow, imported without what is not needed
    store       schema, experiment
    lifecycle   runs are closed and superseded
    contents    what a finished run shows
    mirror      MLflow is brought up to date with records
    registry    the best adapters
    views       saved views of the table of runs
    server      how a process becomes MLflow's server
"""
