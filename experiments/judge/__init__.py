"""The `judge` command: judges of free-form answers, compared with a reference judge or trained on its scores."""
