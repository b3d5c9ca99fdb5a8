"""The MLflow mirror of run records: one way, written by sync_tracking alone. The only room that imports mlflow.

MLflow shows runs, never patients: parameters, metrics over all test windows, loss curves and adapters. No row of a
table is written to it.

    store     connects, makes schema and experiment, one writer at a time
    pages     what MLflow shows of a run, a sweep and an experiment
    sweeps    the arms of one model on one vital sign of one cohort, and what is chosen among them
    mirror    brings an experiment up to date with the records
    registry  what is recommended of each sweep, as a registered model
"""
