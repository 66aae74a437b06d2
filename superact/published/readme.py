"""README.txt of the folder: which set is which file, where the numbers differ from the published ones, and what made them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import version

from superact.published.sets import ConceptSet
from superact.store import Published, State
from superact.store.stale import is_stale

_INTRODUCTION = """\
Result files of the published SuperActivators code, written by superact {version} from a warehouse's metric tables.
File names, columns and dictionaries are those of the published code; the numbers are superact's own.
"""

_DEPARTURES = """\
Where a number means something else than in the published file of that name
---------------------------------------------------------------------------
* Thresholds and activation ranges are in units of superact's scores. Cosines are the same; distances of linsep,
  kmeans-linsep and of imported sets scored by signed_distance are divided by the norm of the concept vector, where the
  published code has the raw product. tau * norm - bias (both columns of table concepts) is the threshold of raw products.
  Decisions, counts and measures do not depend on it.
* Everything is chosen on cal, matches of clusters too: bestdetects_{con} and bestdetects_{con}_cal have the same cluster
  and percentile, the first with its F1 on test (NaN without a test positive), the second on cal. The published code
  matches on test. Two labels may share a cluster, and both keep it.
* A concept without a threshold has no row (published: a row in which nothing is detected), and counts in no average.
* detectionmetrics_*allpairs_*: on test the matches only; on cal the best concepts of every label, or all of them where
  eval ran with --all-pairs.
* All counts are over content tokens; each detector is judged by its own table, in Per_Concept_PTM_Optimization too.
  That folder is over every layer that was evaluated, also those that are not exported here.
* weighted_f1_se is half the width of superact's 95 % bootstrap interval of the weighted F1. The intervals of precision and
  recall are not computed: empty.
* detectfirst_{N_d}_invert_{N_i}_{con}.pt holds cal; the published code writes the test run over it. Test stands in
  optimal_test_results_{con}_f1.pt.
* twostage_superdetector_invert_{q}_avg_{con}_test.pt holds the concepts that chose q; the published file holds all.
  Superactivators are content tokens of train and cal; true negatives are counted over the split alone.
* inversion_random_*: tokens drawn at the label's own rate on cal; published: one in two.
* activation_distributions: one range a concept, shared by the three files and not widened; samples that carry no label at
  all are counted; texts have the split into tokens, too.
* prompt_results: an answer is yes where it says yes and not no, in any case; what could not be read is 0, what was not asked
  is empty. Image Index is the row of metadata.csv. Where a place was asked for, the reply stands as it came.
* percentthrumodel_{p}: the p of the model's published list that leads to the layer, else 100 * layer / T. Without a known
  T, and for layer 0 (the embedding output), p is the layer itself.

Not written: concept vectors, activations, ground truth, Superpatches, Quant_Results_with_CI,
optimal_ptm_results_*.pt, superactivator_local (the published code has no such file).
"""


def readme(state: State, sets: Sequence[ConceptSet], inputs: Iterable[Published], notes: Iterable[str]) -> str:
    """The whole text. `inputs`: the metric partitions that were read; `notes`: what is missing, one line each."""
    inputs = list(inputs)
    parts = [_INTRODUCTION.format(version=version("superact")), _named(sets)]
    old = [
        f"{p.partition} is older than its inputs: run superact eval and export again"
        for p in inputs
        if is_stale(state, p)
    ]
    remarks = [*notes, *old]
    if remarks:
        parts.append(_section("Missing or stale", [f"* {line}" for line in remarks]))
    parts += [_DEPARTURES, _runs(state, {p.run for p in inputs})]
    return "\n".join(parts)


def _named(sets: Sequence[ConceptSet]) -> str:
    lines = []
    for one in sets:
        keys = ", ".join(f"{name} {value}" for name, value in one.keys.items())
        blocks = "T unknown" if one.blocks is None else f"T {one.blocks}"
        lines.append(f"{one.folder}: {one.con}\n    {keys}; method {one.method}, score {one.score}, {blocks}")
    return _section("Files by con_label", lines)


def _runs(state: State, wanted: set[str]) -> str:
    lines = []
    for document in state.documents:
        if document["run"] in wanted:
            versions = ", ".join(f"{name} {value}" for name, value in sorted(document["versions"].items()))
            lines.append(f"{document['run']}  {document['stage']}  {versions}")
    return _section("Runs that computed these numbers", lines)


def _section(title: str, lines: list[str]) -> str:
    return "\n".join([title, "-" * len(title), *lines, ""])
