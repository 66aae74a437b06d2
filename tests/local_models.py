"""The real local models, for the tests that need one."""

from __future__ import annotations

import pytest

from superact.models import local


def needs(name: str) -> None:
    """Skip the test that asks where a local model is not prepared."""
    if not next(state for state in local.local_models() if state.name == name).prepared:
        pytest.skip(f"{name} is not prepared on this machine: superact models prepare {name}")
