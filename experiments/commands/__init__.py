"""The arguments of every subcommand of `sgtr`, and what each prints; the work is done by the modules they call."""
