"""Where patients come from: one module for each source, and the two tables that every source gives."""
