"""Figures of a run: one file per figure, a run folder in, PNG + SVG + the plotted numbers as CSV out."""
