"""From one long table of (stay, time, value) to context and horizon windows, split by patient."""
