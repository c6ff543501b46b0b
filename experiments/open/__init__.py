"""A finished run with its model at hand: ask its stages, see where their answers lie, edit, and ask again.

`run` finds the stages and directions of a run folder, `asked` says what can be asked of them, `answers` answers it
token by token, `copies` writes the same as Python and as a command, and `server` shows all of it on a local page.
"""
