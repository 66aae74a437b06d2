"""The user's cache: prepared models, what was verified, what DuckDB spills."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_path(*parts: str) -> Path:
    """A place in the user's cache of superact; $SUPERACT_CACHE overrides the base."""
    base = os.environ.get("SUPERACT_CACHE")
    return (Path(base).expanduser() if base else user_cache_path("superact")).joinpath(*parts)
