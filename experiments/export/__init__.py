"""What a run holds, in the forms that other tools read."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Exported:
    """What an export has written, as paths, and what it has left out, each with the reason."""

    written: list[Path] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
