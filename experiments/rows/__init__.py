"""Stored values in, rows of metrics.jsonl out; no model and no file is needed."""
