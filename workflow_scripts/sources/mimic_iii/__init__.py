"""MIMIC-III: tables, columns, the concept dictionary, extraction, and the simulator."""
