"""What every test shares: the folder of golden tables, and one thread for the numeric libraries."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when the libraries load, so before any test imports them


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of golden tables: $SUPERACT_SHARED/golden, or ../shared/golden beside the repository."""
    shared = os.environ.get("SUPERACT_SHARED")
    root = Path(shared) if shared else Path(__file__).resolve().parents[2] / "shared"
    folder = root / "golden"
    if not folder.is_dir():
        pytest.skip(f"no golden tables at {folder}: set SUPERACT_SHARED to the folder that holds golden/")
    return folder
