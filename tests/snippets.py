"""Fenced blocks of the documentation, as the tests that run them read them."""

from __future__ import annotations

import re
from dataclasses import dataclass

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Step:
    """A command of a console block and all that it says, stdout and stderr as a terminal shows them."""

    command: str
    output: str


def fenced(text: str, *languages: str) -> list[tuple[str, str]]:
    """(language, text) of the fenced blocks in these languages, in order."""
    return [(language, block) for language, block in FENCE.findall(text) if language in languages]


def steps(text: str) -> list[Step]:
    """What the console blocks of a page run: `$ ` begins a command, `> ` continues it, other lines are its output."""
    found: list[Step] = []
    for _, block in fenced(text, "console"):
        command, output = "", ""
        for line in block.splitlines(keepends=True):
            if line.startswith("$ "):
                if command:
                    found.append(Step(command, output))
                command, output = line[2:].rstrip("\n"), ""
            elif line.startswith("> ") and command and not output:
                command += "\n" + line[2:].rstrip("\n")
            else:
                output += line
        found.append(Step(command, output))
    return found
