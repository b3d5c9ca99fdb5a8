"""MIMIC-III: tables, columns, the dictionary of items, extraction, checks, and the simulator."""
