"""Datasets and models that other packages bring, found through entry points.

    find("superact.datasets", "toy-lines", slug)        # a Plugin, or None

Entry points are read when a name is looked up, never at import. Nothing is skipped in silence: a plug-in that cannot be
imported, raises, or returns something else than its protocol asks for is an error that names it; so are two of one name.
The protocols are `superact.datasets.protocol` and `superact.models.protocol`; docs/plugins.md has a worked example.
"""

from __future__ import annotations

import hashlib
import inspect
import operator
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superact.errors import BadInput, SuperactError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

DATASETS, MODELS = "superact.datasets", "superact.models"
"""The two entry-point groups."""


@dataclass(frozen=True)
class Plugin:
    """One entry point: `name` is what a user asks for, `value` is `module:function`, `distribution` the package and version."""

    name: str
    value: str
    distribution: str
    entry_point: EntryPoint

    def __str__(self) -> str:
        return f"plug-in {self.name} of {self.distribution}"

    def function(self) -> Callable[..., Any]:
        """Import the function. Raises BadInput where that fails."""
        with self.failing("cannot be imported"):
            function: Callable[..., Any] = self.entry_point.load()
        if not callable(function):
            raise self.wrong(f"{self.value} is a {type(function).__name__}, not a function")
        return function

    def call(self, *arguments: Any, **options: Any) -> Any:
        """Import the function and call it. Raises BadInput for whatever goes wrong in it, but for superact's own errors."""
        function = self.function()
        with self.failing(f"failed in {self.value}"):
            return function(*arguments, **options)

    @contextmanager
    def failing(self, what: str, unless: Callable[[BaseException], bool] = lambda error: False) -> Iterator[None]:
        """Turn what the plug-in raises into a BadInput, `what` said of the plug-in.

        superact's own errors stay as they are, and so do those for which `unless` holds.
        """
        try:
            yield
        except SuperactError:
            raise
        except (Exception, SystemExit) as error:
            if unless(error):
                raise
            said = str(error).strip().splitlines()
            raise self.wrong(
                f"it {what}: {type(error).__name__}{': ' if said else ''}{said[0] if said else ''}"
            ) from error

    def wrong(self, problem: str) -> BadInput:
        """The error for a plug-in that is not as its protocol asks for."""
        return BadInput(
            what=f"The {self} ({self.value}) cannot be used: {problem.rstrip('.')}.",
            remedy="Correct it (docs/plugins.md says what is asked of it), or uninstall that package.",
        )

    def member(self, made: Any, name: str, default: Any = None) -> Any:
        """A member of what the plug-in made, or `default` where it has none. Raises BadInput where reading it fails."""
        with self.failing(f"failed in {name}"):
            try:
                return getattr(made, name)
            except AttributeError:
                # A property that is there and raises this itself would else pass for one that is not there.
                if inspect.getattr_static(made, name, None) is not None:
                    raise
                return default

    def method(self, made: Any, name: str) -> Callable[..., Any] | None:
        """A method of what the plug-in made, or None where it has none. Raises BadInput for what cannot be called."""
        found: Callable[..., Any] | None = self.member(made, name)
        if found is not None and not callable(found):
            raise self.wrong(f"its {name} is a {type(found).__name__}, not a method")
        return found

    def whole(self, made: Any, name: str, *, least: int = 1, default: int | None = None) -> int:
        """A whole number that is a member of what the plug-in made. Raises BadInput for anything else, and below `least`."""
        value = self.member(made, name, default)
        try:
            number = least - 1 if isinstance(value, bool) else operator.index(value)
        except TypeError:
            number = least - 1
        if number < least:
            raise self.wrong(f"its {name} is {value!r}, not a whole number of {least} or more")
        return number

    def licence_of(self, made: Any) -> str | None:
        """The licence that a dataset or model of this plug-in states, or None. Raises BadInput for what is no text."""
        licence = self.member(made, "licence")
        if licence is not None and not isinstance(licence, str):
            raise self.wrong(f"its licence is a {type(licence).__name__}, not a line of text")
        return licence

    def revision_of(self, made: Any) -> str:
        """The revision that a dataset or model of this plug-in states. Raises BadInput where it states none."""
        revision = self.member(made, "revision")
        if not isinstance(revision, str) or not revision.strip():
            raise self.wrong(
                f"its {type(made).__name__} states no revision: a text that changes whenever its numbers may, such as "
                "superact.plugins.files_digest(...) of the files it reads"
            )
        return revision


def plugins(group: str) -> list[Plugin]:
    """The plug-ins of a group, by name; nothing is imported."""
    from importlib.metadata import entry_points

    found = []
    for point in entry_points(group=group):
        package = f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown package"
        found.append(Plugin(point.name, point.value, package, point))
    return sorted(found, key=lambda plugin: (plugin.name, plugin.distribution))


def find(group: str, ref: str, slug: Callable[[str], str]) -> Plugin | None:
    """The plug-in that answers to a name or slug; None where there is none, and for what is written as a path.

    `slug` gives the path key of a name, or the empty string. Raises BadInput when two plug-ins answer.
    """
    if not ref or is_path(ref):
        return None
    key = slug(ref)
    found = [plugin for plugin in plugins(group) if plugin.name == ref or (key and slug(plugin.name) == key)]
    if len(found) > 1:
        raise BadInput(
            what=f"{ref!r} is two plug-ins: {' and '.join(f'{plugin} ({plugin.value})' for plugin in found)}.",
            remedy="Uninstall one of the packages, or give its plug-in another name.",
        )
    return found[0] if found else None


def is_path(ref: str) -> bool:
    """Whether a reference is written as a path: it has a separator, or is one of the dots."""
    return os.sep in ref or "/" in ref or ref in (".", "..") or ref.startswith("~")


def clash(ref: str, plugin: Plugin, other: str, remedy: str) -> BadInput:
    """The error for a name that a plug-in shares with something that is no plug-in."""
    return BadInput(
        what=f"{ref!r} is both {other} and the {plugin} ({plugin.value}).",
        remedy=f"{remedy}, rename one of the two, or uninstall the package.",
    )


def files_digest(*paths: str | os.PathLike[str]) -> str:
    """Sha256 (hex) of the names, sizes and bytes of files: a revision for what is read from them.

    >>> files_digest(weights, vocabulary)               # doctest: +SKIP
    '0b5e...'
    """
    total = hashlib.sha256()
    for path in map(Path, paths):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
        total.update(f"{path.name}\0{path.stat().st_size}\0".encode() + content)
    return total.hexdigest()
