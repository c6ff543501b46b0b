"""Training and evaluation data made inside the project, from word tables and a seed."""
