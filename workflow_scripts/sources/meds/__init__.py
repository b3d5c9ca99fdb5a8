"""Data sets in the Medical Event Data Standard: shards of (subject, time, code, value), and a mapping of the codes."""
