"""Keys and seeds that depend on the content of what they are of, and on nothing else."""

import hashlib
import json
from typing import Any


def content_key(value: Any) -> str:
    """sha256 of a JSON-like value, independent of key order: equal meaning, equal key."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False).encode()).hexdigest()


def seed_from(*parts: Any) -> int:
    """A seed in [0, 2**31) that depends on every part and on nothing else."""
    return int(content_key([str(part) for part in parts])[:8], 16) % 2**31
