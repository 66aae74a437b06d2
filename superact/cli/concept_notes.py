"""What commands say about concept sets: which vectors they lack, who scores clusters, and what these will cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from superact.cli.progress import note

if TYPE_CHECKING:
    from superact.ingest.estimate import Probe
    from superact.ingest.job import Job
    from superact.ingest.learn import Dropped
    from superact.ingest.recipe import Recipe


def note_dropped(dropped: list[Dropped], quiet: bool) -> None:
    """Say which concept sets have fewer clusters than were asked for."""
    for name in dict.fromkeys(entry.concept_set for entry in dropped):
        found = ", ".join(
            f"{entry.empty:,} of {entry.asked:,} at layer {entry.layer} {entry.unit}"
            for entry in dropped
            if entry.concept_set == name
        )
        note(f"{name}: dropped clusters that no train row is nearest to: {found}", quiet)


def note_without_vector(without: dict[str, tuple[int, int]], quiet: bool) -> None:
    """Say which supervised sets lack vectors: such a label is never scored and enters no average."""
    for name, (missing, labels) in sorted(without.items()):
        note(
            f"{name}: no vector for {missing:,} of {labels:,} labels, for want of train rows that carry them or do not; "
            "no score and no average takes these in (column status of table concepts says which)",
            quiet,
        )


def note_left_to_eval(names: list[str], quiet: bool) -> None:
    """Say which concept sets were not scored, and who does it."""
    if names:
        are = "is" if len(names) == 1 else "are"
        note(f"{', '.join(names)} {are} scored by `superact eval`; --keep all stores every activation", quiet)


def note_costs(job: Job, recipe: Recipe, probe: Probe, keep: str, quiet: bool) -> None:
    """Say what clusters cost beside the tables of the estimate."""
    from superact.ingest.estimate_clusters import clustering_seconds, selected_activations
    from superact.store.files import human

    if not recipe.unsupervised:
        return
    seconds = clustering_seconds(job, recipe)
    more = ", the separators of kmeans-linsep not counted" if "kmeans-linsep" in recipe.methods else ""
    note(f"clustering takes at most about {seconds:.0f} s{more}", quiet)
    if keep != "all":
        rows, size = selected_activations(job, recipe, probe)
        names = " and ".join(recipe.unsupervised)
        note(
            f"`superact eval` scores {names}: it adds at most {rows:,} rows of activations ({human(size)}), those of the "
            "clusters that it selects, and sample_scores of all",
            quiet,
        )
