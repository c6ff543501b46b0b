"""The questions this project asks of models, one file each, behind the `sgtr` command."""
