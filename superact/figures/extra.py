"""The optional packages that charts need, imported when a figure is drawn and not before."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from superact.errors import BadInput

_PACKAGES = {"altair": "altair", "vl_convert": "vl-convert-python", "PIL": "pillow"}


def require(module: str) -> ModuleType:
    """Import an optional module, such as `altair`. Errors: BadInput, which names the extra, where it is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        package = _PACKAGES.get(error.name, error.name)
        raise BadInput(
            what=f"Figures need the package {package}, which is not installed.",
            remedy="Install it: pip install 'superact[figures]'.",
        ) from error
