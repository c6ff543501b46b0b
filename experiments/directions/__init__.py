"""How directions are made: from traits, from two kinds of text, from roles, from a stage's displacement."""
