"""The guard: no row of a patient outside the ignored data folders (docs/patient-data.md)."""
