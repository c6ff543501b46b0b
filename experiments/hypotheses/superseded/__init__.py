"""The plan of before: fifteen hypotheses, kept so that runs made under it give the verdicts that they gave.

Why it is superseded: a shift is divided by its own size; its nulls do not describe finetuning; seeds and data sets
count alike as units; controls have no twin; and a planted persona is not seen (experiments/LOG.md, 2026-11-28).
"""
