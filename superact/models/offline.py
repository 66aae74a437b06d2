"""Keep transformers away from the network and from the screen while a model is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLE = "HF_HUB_OFFLINE"


@contextmanager
def offline() -> Iterator[None]:
    """Offline mode of huggingface_hub inside the `with`, what was there before after it.

    Some checks of transformers (tokenizer patches, conversion of old checkpoints) ask the hub even for a local folder.
    huggingface_hub reads the variable once, at its import: the constant has to be set as well. Not meant for several
    threads that load models at the same time.
    """
    from huggingface_hub import constants

    variable, constant = os.environ.get(_VARIABLE), constants.HF_HUB_OFFLINE
    os.environ[_VARIABLE], constants.HF_HUB_OFFLINE = "1", True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = constant
        if variable is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = variable


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no notes of transformers while a model is loaded; errors still come as exceptions."""
    from transformers.utils import logging as transformers_logging

    bars, verbosity = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
