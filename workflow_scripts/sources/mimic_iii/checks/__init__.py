"""Checks of a MIMIC-III folder before anything runs: every table is read once, in bounded memory."""
