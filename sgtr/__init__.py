"""The `sgtr` command as it is installed.

In the repository `finetune`, `experiments` and `figures` are folders at the top. Their names are too common for
everybody's site-packages, so a wheel keeps them inside this package, and only the command puts them on the path of its
own process. What can be imported from an installation is `interp`.
"""

import sys
from pathlib import Path


def main() -> None:
    """Run the command line."""
    package = Path(__file__).resolve().parent
    installed = package / "_packages"
    sys.path.insert(0, str(installed if installed.is_dir() else package.parent))
    from experiments.cli import main as run

    run()
