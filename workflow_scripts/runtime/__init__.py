"""The machine: atomic files, device leases, tracking, logging, hashing. Knows nothing of the study."""
