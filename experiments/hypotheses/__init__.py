"""The hypotheses of the paper, their units and effects, and the verdict on each."""
