"""The published layout: every file of every set that was evaluated, in one folder that appears complete or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superact.errors import BadInput
from superact.published.detection import choice_files, detection_files, threshold_files
from superact.published.distributions import distribution_files
from superact.published.files import PublishedFile
from superact.published.folder import FileWriter, check_folder
from superact.published.layers import layer_files
from superact.published.localization import floor_files, localization_files
from superact.published.prompts import prompt_files
from superact.published.readme import readme
from superact.published.sets import ConceptSet, find_sets, has, inputs
from superact.query import Session
from superact.store import State
from superact.store.outward import whole_folder

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Exported:
    """What was written. `notes`: what could not be, one line each, as README.txt has them."""

    folder: Path
    files: int
    sets: int
    notes: tuple[str, ...]


def export_published(
    session: Session, folder: Path | str, *, progress: Progress | None = None, **wanted: Any
) -> Exported:
    """Write the published result files of every evaluated set whose path keys match (None: any).

    `folder` may be there if it is empty. Errors: BadInput for a folder that may not be written, names that no set has, two sets
    of one published name, torch not installed, or a warehouse that changed meanwhile; MissingTable where nothing that matches
    was evaluated; Damaged, NotEnoughDisk.
    """
    target = check_folder(Path(folder))
    writer = FileWriter()
    # In this order the session reads this state or a newer one, which shows at the end.
    state = session.warehouse.state()
    session.refresh()
    sets, left = find_sets(session, state, **wanted)
    sources = inputs(state, sets)
    with whole_folder(target) as part:
        for number, one in enumerate(sets):
            if progress is not None:
                progress(f"writing {one.con}", number, len(sets))
            for file in files_of(session, state, one, first=_is_first(sets, number)):
                writer.write(part, file)
        notes = _notes(state, sets, left, writer.without_pandas)
        writer.write_bytes(part / "README.txt", readme(state, sets, sources, notes).encode())
        if inputs(session.warehouse.state(), sets) != sources:
            raise BadInput(what="The warehouse changed while it was read.", remedy="Export again.")
    return Exported(target, writer.written, len(sets), notes)


def files_of(session: Session, state: State, one: ConceptSet, first: frozenset[str]) -> Iterator[PublishedFile]:
    """Every file of one set; those of its dataset, its model, or all its layers, where it is the `first` of them."""
    yield from threshold_files(session, one)
    yield from detection_files(session, one)
    yield from choice_files(session, one)
    if "layers" in first and has(state, "layer_selection", one) and has(state, "summary", one):
        yield from layer_files(session, one)
    if one.unit == "token" and has(state, "localization", one):
        yield from localization_files(session, one)
    if one.unit == "token" and has(state, "distributions", one):
        yield from distribution_files(session, one)
    if "floors" in first and state.select("localization", dataset=one.keys["dataset"], model=one.keys["model"]):
        yield from floor_files(session, one)
    if "prompts" in first:
        yield from prompt_files(session, one)


def _is_first(sets: list[ConceptSet], number: int) -> frozenset[str]:
    """Which files that several sets share this one is to write: averages over layers, floors of a model, prompted models."""
    one, before = sets[number], sets[:number]
    found = set()
    if all((s.folder, s.stem) != (one.folder, one.stem) for s in before):
        found.add("layers")
    if one.unit == "token" and all((s.folder, s.short, s.unit) != (one.folder, one.short, "token") for s in before):
        found.add("floors")
    if all(s.folder != one.folder for s in before):
        found.add("prompts")
    return frozenset(found)


_MADE_BY = {
    "localization": ("localization files", "superact eval localize"),
    "localization_scores": ("twostage_* files", "superact eval localize, with the embeddings kept"),
    "distributions": ("activation_distributions", "superact eval distributions"),
    "layer_selection": ("Per_Concept_PTM_Optimization", "superact eval layers"),
}
"""What of the folder needs which table, and the command that makes it."""


def _notes(state: State, sets: list[ConceptSet], left: list[str], without_pandas: int) -> tuple[str, ...]:
    notes = [f"{name} was not evaluated: run superact eval" for name in left]
    for table, (files, command) in _MADE_BY.items():
        for one in sets:
            own = one.own(table)
            if (one.unit == "token" or "unit" in own) and not has(state, table, one):
                named = " ".join(map(str, own.values()))
                notes.append(f"{named} has no {table}, hence no {files}: run {command}")
    if without_pandas:
        notes.append(
            f"pandas is not installed: {without_pandas} pickled frames are left out, their .csv have the same rows"
        )
    return tuple(dict.fromkeys(notes))
