"""Figures and the report, from the summary tables."""
