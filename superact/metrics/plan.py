"""What eval is to do: one `Layer` a (layer, concept set, unit), its inputs checked, and which of its tables to fill."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from superact.errors import BadInput, MissingTable, StaleInput
from superact.metrics.encoded import check_encoded, differing, stored_splits
from superact.metrics.identities import embeddings_hash, identities, localization_identities
from superact.metrics.layer import (
    DATASET_TABLES,
    DISTRIBUTIONS,
    LOCALIZATION,
    METRICS,
    MODEL_TABLES,
    UNITS,
    Keys,
    Layer,
    Protocol,
    Source,
    keys_of,
)
from superact.query.names import check_known, unknown
from superact.store import Published, Run
from superact.store.identity import differences, split_column_digest
from superact.store.layout import Partition

Paths = Callable[[Published], list[Path]]
"""Gives the files of a partition after checking that they are whole."""


def needed(run: Run, table: str, command: str = "superact ingest", **keys: str | int) -> Published:
    """A partition that must be there. Errors: MissingTable."""
    published = run.state.get(table, **keys)
    if published is None:
        where = " ".join(map(str, keys.values()))
        raise MissingTable(stage="eval", table=table, where=where, warehouse=run.warehouse.root, command=command)
    return published


def wanted_sets(
    run: Run, paths: Paths, say: Callable[[str], None], *, method: str | None = None, **wanted: Any
) -> list[Keys]:
    """The keys of every (layer, concept set, unit) that can be evaluated and matches: scored, or unsupervised.

    `say` is told of unsupervised sets that nothing can be made of any more, beside others.
    Errors: BadInput for a name that no concept set has, MissingTable when nothing is scored.
    """
    check_known(run.state, **wanted)
    found: list[Keys] = []
    stranded: list[tuple[Keys, Source]] = []
    methods = set()
    for partition in sorted({p.partition.keys for p in run.state.select("concepts", **wanted)}):
        keys = dict(partition)
        facts = facts_of(run, paths, keys)
        methods.add(facts["method"])
        if method not in (None, facts["method"]):
            continue
        source = source_of(run, keys, facts)
        there = run.state.get(source, **keys_of(source, keys))
        if source == "embeddings":
            if facts["supervised"]:
                continue  # not scored yet
            there = there or run.state.get("selection", **keys)
        if there is None:
            stranded.append((keys, source))
        else:
            found.append(keys)
    if method is not None and methods and method not in methods:
        raise BadInput(what=f"No concept set has method {method!r}.", remedy=f"There are {', '.join(sorted(methods))}.")
    if found:
        for keys, source in stranded:
            say(f"{' '.join(map(str, keys.values()))} is left out: it is unsupervised, and its {source} are gone")
        return found
    if stranded:
        return [keys for keys, _ in stranded]  # planning them says what is missing
    where = ", ".join(f"{name} {value}" for name, value in wanted.items() if value is not None) or "any dataset"
    raise MissingTable(
        stage="eval", table="activations", where=where, warehouse=run.warehouse.root, command="superact score"
    )


def with_labels(run: Run, paths: Paths, sets: list[Keys], labels: tuple[str, ...] | None) -> list[Keys]:
    """Those of the sets whose dataset evaluates one of the labels. Errors: BadInput for a label that none of them does."""
    if labels is None:
        return sets
    known: dict[str, set[str]] = {}
    for dataset in {str(keys["dataset"]) for keys in sets}:
        known[dataset] = evaluated_labels(run, paths, {"dataset": dataset})
    every = {label for own in known.values() for label in own}
    for label in labels:
        if label not in every:
            raise unknown("evaluated label", label, every)
    return [keys for keys in sets if known[str(keys["dataset"])].intersection(labels)]


def evaluated_labels(run: Run, paths: Paths, keys: Keys) -> set[str]:
    """The labels that a dataset evaluates."""
    labels = needed(run, "labels", dataset=keys["dataset"])
    rows = pq.read_table(paths(labels), columns=["label", "evaluated"]).to_pylist()
    return {row["label"] for row in rows if row["evaluated"]}


def facts_of(run: Run, paths: Paths, keys: Keys) -> dict[str, Any]:
    """The concept_sets row of a set."""
    row: dict[str, Any] = pq.read_table(paths(needed(run, "concept_sets", **keys))[0]).to_pylist()[0]
    return row


def stored_activations(run: Run, keys: Keys) -> Published | None:
    """The activations that `superact score` or an import stored, as against those that eval derives."""
    published = run.state.get("activations", **keys)
    return None if published is None or published.derived else published


def source_of(run: Run, keys: Keys, facts: dict[str, Any]) -> Source:
    """Which table the scores of a set come from; `facts` is its row of concept_sets."""
    if stored_activations(run, keys) is not None:
        return "activations"
    return "sae_activations" if facts["score"] == "activation" else "embeddings"


def plan_layer(run: Run, protocol: Protocol, keys: Keys, paths: Paths) -> Layer:
    """Find the inputs of one (layer, concept set, unit) and say what its tables are made from.

    Errors: MissingTable, StaleInput, Damaged.
    """
    facts = facts_of(run, paths, keys)
    dataset, model = {"dataset": keys["dataset"]}, {"dataset": keys["dataset"], "model": keys["model"]}
    sources = {table: needed(run, table, **keys) for table in ("concepts", "concept_sets")}
    sources |= {table: needed(run, table, **dataset) for table in DATASET_TABLES}
    if keys["unit"] == "token":
        sources |= {table: needed(run, table, **model) for table in MODEL_TABLES}
    source = source_of(run, keys, facts)
    if source != "embeddings":
        sources[source] = needed(run, source, "superact sae encode", **keys)
    for table in ("embeddings", "layer_stats"):
        published = run.state.get(table, **keys_of(table, keys))
        if published is not None:
            sources[table] = published
    layer = Layer(keys, sources, facts["method"], facts["score"], facts["supervised"], source, None, {})
    _check_inputs(run, layer, paths)
    hashes = {table: published.hash for table, published in sources.items()}
    if source == "embeddings":
        found = embeddings_hash(run, layer, "sample_scores")
        if found is None:
            raise no_embeddings(run, layer)
        hashes["embeddings"] = found
    layer.labels = _labels(run, keys, protocol, paths)
    layer.identities = identities(layer, protocol, hashes)
    layer.identities |= localization_identities(run, layer, hashes)
    return layer


def no_embeddings(run: Run, layer: Layer, table: str = "embeddings") -> MissingTable:
    """The error of an unsupervised set whose scores are to be made and cannot be."""
    return MissingTable(
        stage="eval",
        table=table,
        where=" ".join(map(str, layer.keys.values())),
        warehouse=run.warehouse.root,
        command="superact extract` (or `superact import`, for what was imported) or `superact ingest --keep all",
    )


def adopted(run: Run, keys: Keys, protocol: Protocol) -> Protocol:
    """The protocol with the labels and kept pairs of the detection that is published: a later stage goes on from that.

    Errors: MissingTable for a label that detection does not have yet.
    """
    published = run.state.get("detection", **keys)
    if published is None:
        return protocol
    own = published.identity.get("labels")
    for label in protocol.labels or ():
        if own is not None and label not in own:
            where = f"label {label!r} of {' '.join(map(str, keys.values()))}"
            command = f"superact eval detect --label {label}"
            raise MissingTable(
                stage="eval", table="detection", where=where, warehouse=run.warehouse.root, command=command
            )
    labels = None if own is None else tuple(own)
    return replace(protocol, labels=labels, all_pairs=published.identity.get("kept_concepts") == "all")


def _labels(run: Run, keys: Keys, protocol: Protocol, paths: Paths) -> tuple[str, ...] | None:
    """The labels to evaluate: those asked for, beside those evaluated already, which are brought up to date. None: all."""
    if protocol.labels is None:
        return None
    published = run.state.get("detection", **keys)
    own = () if published is None else published.identity.get("labels")
    if own is None:
        return None
    evaluated = evaluated_labels(run, paths, keys)
    wanted = evaluated.intersection({*own, *protocol.labels})
    return None if wanted == evaluated else tuple(sorted(wanted))


def declare(run: Run, layer: Layer, stages: Iterable[str]) -> None:
    """Say in `run` which tables of a layer are to be there when it is done."""
    for table in tables_of(layer, stages):
        if table == "localization_scores" and "embeddings" not in layer.sources:
            continue  # what there is of it stands: it cannot be made anew
        layer.parts[table] = run.partition(table, layer.identities[table], **layer.own(table))
    if "localize" in stages and layer.unit == "token" and "localization_scores" not in layer.identities:
        gone = Partition.of("localization_scores", **layer.own("localization_scores"))
        if gone in run.state.partitions:
            run.removed.append(gone)


def tables_of(layer: Layer, stages: Iterable[str]) -> list[str]:
    """The tables of a layer that some stages fill."""
    filled = {
        "detect": (*UNITS, "sample_scores", *METRICS, "activations"),
        "localize": LOCALIZATION,
        "distributions": DISTRIBUTIONS,
        "layers": (),
    }
    return [table for stage in stages for table in filled[stage] if table in layer.identities]


def outdated(run: Run, layer: Layer, stages: Iterable[str]) -> bool:
    """True where what is published is not what these stages would make now."""
    for table in tables_of(layer, stages):
        published = run.state.get(table, **layer.own(table))
        if published is None or published.identity != layer.identities[table]:
            return True
    return False


def published_by(run: Run, layer: Layer, table: str) -> Published:
    """A table of a layer that stage detect published, in another call. Errors: MissingTable, StaleInput, naming the command."""
    where = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in layer.keys.items())
    seed = layer.identities[table].get("seed", 0)
    command = f"superact eval detect {where}" + (f" --seed {seed}" if seed else "")
    published = needed(run, table, command, **layer.own(table))
    wanted = layer.identities[table]
    if published.identity != wanted:
        changed = "; ".join(differences(published.identity, wanted))
        raise StaleInput(partition=str(published.partition), differences=changed, command=command)
    return published


def _check_inputs(run: Run, layer: Layer, paths: Paths) -> None:
    """Raise StaleInput where scores say that they were made from other inputs than those published now.

    They would be judged by splits, labels or names that they were not made with.
    """
    keys, sources = layer.keys, layer.sources
    where = " ".join(f"--{name} {value}" for name, value in keys.items() if name in ("dataset", "model"))
    stats = sources.get("layer_stats")
    if layer.source == "activations":
        activations = sources["activations"]
        again = f"superact score {where} --replace{'' if layer.supervised else ' --keep all'}"
        if activations.meta.get("concepts", sources["concepts"].hash) != sources["concepts"].hash:
            raise StaleInput(partition=str(activations.partition), differences="concepts", command=again)
        if "input:layer_stats" not in activations.identity:
            return
        stats = needed(run, "layer_stats", **keys_of("layer_stats", keys))
        if activations.identity["input:layer_stats"] != stats.hash:
            raise StaleInput(partition=str(activations.partition), differences="layer_stats", command=again)
    if stats is not None:
        changed = differing(stats.identity, sources)
        if changed:
            command = f"superact ingest {where} --layers {keys['layer']} --replace"
            raise StaleInput(partition=str(stats.partition), differences=", ".join(changed), command=command)
        if layer.source != "sae_activations":  # that looks at the splits by itself
            _check_imported_splits(stats, sources["samples"], paths)
    if layer.source == "sae_activations":
        check_encoded(run, layer, paths)


def _check_imported_splits(stats: Published, samples: Published, paths: Paths) -> None:
    """Raise StaleInput where an imported layer was normalised and learned on other splits than those published now.

    Samples are shared by the models of a dataset, and another model's import replaces them for all. Those that were extracted
    say which splits they have.
    """
    if "splits" in samples.identity or "splits" not in stats.identity:
        return
    _, splits = stored_splits(samples, paths)
    if split_column_digest(splits) != stats.identity["splits"]:
        keys = dict(stats.partition.keys)
        raise StaleInput(
            partition=str(stats.partition),
            differences=f"the splits of {keys['dataset']}, which another model's import replaced",
            command="superact import FOLDER --replace`, with these splits in its samples, or go on without it: "
            "`superact eval --model NAME",
        )
