"""The reference of the command line: complete, and not stale."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from superact import errors
from superact.cli.errors import BROKEN_PIPE, INTERRUPTED
from superact.cli.reference import commands, reference

DOCS = Path(__file__).resolve().parents[1] / "docs"
COMMANDS = dict(commands())


def test_the_reference_in_the_docs_is_not_stale() -> None:
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == reference(), (
        "python -m superact.cli.reference > docs/cli.md"
    )


def test_the_commands_of_the_issue_are_there() -> None:
    wanted = ["import", "score", "eval", "sql", "export", "info", "verify", "gc"]
    wanted += ["models list", "models prepare", "models info", "data list", "data render clevr"]
    assert {f"superact {words}" for words in wanted} <= COMMANDS.keys()


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_and_option_has_help(words: str) -> None:
    command = COMMANDS[words]
    assert command.help
    for parameter in command.params:
        assert parameter.help, f"{words}: {parameter.name}"
        # The reference says what a value is by its metavar.
        assert parameter.metavar or parameter.is_flag, f"{words}: {parameter.name}"


@pytest.mark.parametrize("words", [words for words, command in COMMANDS.items() if not hasattr(command, "commands")])
def test_row_printing_commands_share_their_options(words: str) -> None:
    options = {name for parameter in COMMANDS[words].params for name in parameter.opts}
    # What a build or a report writes is a folder, not rows.
    assert ("--format" in options) == ("--out" in options) or words.startswith(
        ("superact data build ", "superact report")
    )
    reads_a_warehouse = words.split()[1] not in ("models", "data") and words != "superact sae describe"
    assert ("--warehouse" in options) == reads_a_warehouse
    assert ("--data-root" in options) or words.split()[1] != "data"


def test_exit_codes_are_documented() -> None:
    text = (DOCS / "exit-codes.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (?:`(\w+)`)?", text, flags=re.MULTILINE)
    documented = {name: int(code) for code, name in rows if name}
    classes = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.SuperactError) and kind is not errors.SuperactError
    }
    assert documented == classes
    assert {str(INTERRUPTED), str(BROKEN_PIPE), "0", "1", "2"} <= {code for code, _ in rows}
