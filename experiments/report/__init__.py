"""The report of a run: its page, figures, tables and warnings, and the same tables at a terminal."""
