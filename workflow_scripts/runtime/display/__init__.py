"""What a run shows while it runs: how far it is, what failed and why, what was made.

Snakemake's own events (snakemake_interface_logger_plugins) become a run's `state`, told in `texts`, shown by the
`handler`. docs/dependencies.md says why this is no logger plugin.
"""
