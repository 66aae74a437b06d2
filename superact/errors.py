"""Every mistake superact can name, one class a kind of mistake.

The docstring of a class is its message: a template over the fields it is raised with, saying what is wrong, where, and
what to do about it. `exit_code` is what the command line exits with; docs/exit-codes.md lists them.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar


class SuperactError(Exception):
    """{message}"""

    exit_code: ClassVar[int] = 1

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        for name, value in fields.items():
            setattr(self, name, value)
        super().__init__(inspect.cleandoc(type(self).__doc__ or "").replace("\n", " ").format(**fields))


class BadInput(SuperactError):
    """{what} {remedy}"""

    exit_code = 3
    what: str
    remedy: str


class MissingFile(BadInput):
    """{path} does not exist; it is named in row {row} of {source}. Put the file there, or correct that row."""


class UnreadableFile(BadInput):
    """{path} (row {row} of {source}) cannot be read: {reason}. Replace the file, or remove that row."""


class BadTable(BadInput):
    """{path}, row {row}, column {column!r}: {problem}. {remedy}"""


class WordMismatch(BadInput):
    """The word list of {source} does not match the text of paragraph {paragraph} ({path}): word {position} is
    {listed!r} in the list and {found!r} in the text. Words are the runs of non-blank characters of the text, in order;
    correct the list or the text."""


class NonFinite(BadInput):
    """A {kind} is NaN or infinite at layer {layer}, sample {sample}. Half precision overflows in some models: try
    --dtype float32 without --autocast; otherwise the weights or the input are damaged."""


class LayerOutOfRange(BadInput):
    """Model {model} has layers 0 to {last} ({blocks} blocks); layer {layer} does not exist. Ask for --layers within that
    range, or --percent."""


class MissingTable(BadInput):
    """{stage} needs {table} of {where}, and the warehouse {warehouse} has none. Run `{command}` first."""


class ModelUnavailable(BadInput):
    """Model {model!r} cannot be loaded: {reason}. Give a local transformers folder, a hub id that this machine can
    reach, or one of the models of `superact models list` after `superact models prepare`."""


class BadQuery(BadInput):
    """{reason} Read-only SELECT statements are run here; `superact info` lists the tables, `superact sql "DESCRIBE
    scores"` a table's columns."""


class Damaged(SuperactError):
    """{path} is damaged: {problem}. Restore the file from a copy, or rebuild it by running its stage again with
    --replace; `superact verify` lists every damaged file."""

    exit_code = 4


class NewerWarehouse(SuperactError):
    """{path} was made by a newer superact (format {found}; this one reads up to {known}). Upgrade superact: pip install
    -U superact."""

    exit_code = 4


class IdentityMismatch(SuperactError):
    """{partition} {state} with another identity; these fields differ: {differences}. Use the same settings again, name
    another concept set or dataset, or pass --replace to discard what is there."""

    exit_code = 5


class StaleInput(SuperactError):
    """{partition} was made from other inputs than those that are published now ({differences}). Make it anew: `{command}`."""

    exit_code = 5


class Locked(SuperactError):
    """Another process is writing to {warehouse} ({owner}). Wait for it to finish; readers need not wait."""

    exit_code = 6


class NotEnoughDisk(SuperactError):
    """{path} has {free} free and {needed} are needed. Free some space, choose fewer layers, or write less with
    --embeddings none."""

    exit_code = 7


class NotEnoughMemory(SuperactError):
    """Sample {sample} ({path}) has {tokens} tokens under {model}, and even alone does not fit into the memory of {device}.
    Free what other processes hold there, ask for fewer --layers at a time, load the weights with --dtype bfloat16, spread
    them with --device-map auto, use --device cpu, or shorten the sample."""

    exit_code = 7


class ServerFailed(SuperactError):
    """{url} gave no answer to {about}: {reason}. What was answered before is kept: run the same command again to go on, with a
    longer --retry-for where the server needs more time."""

    exit_code = 8
