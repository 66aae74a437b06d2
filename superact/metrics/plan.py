"""What eval is to do: one `Layer` a (layer, concept set, unit), with the identities that say what its tables are made from.

An identity names every input by its hash, and nothing that the rows do not depend on: labels leave sample_scores alone, and
token tables and the seed leave unit cls alone. Tables of stages that are not asked for have an identity too, so that a stage
can tell whether what it reads is what an earlier stage would write now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from superact.errors import BadInput, MissingTable, StaleInput
from superact.metrics.bootstrap import REPLICATES
from superact.query.names import check_known, unknown
from superact.schemas import FORMAT, tables
from superact.store import Published, Run
from superact.store.identity import DERIVED_BY, Identity, differences, hash_of
from superact.store.layout import Partition
from superact.store.staging import StagedPartition

STEP_VERSION = 2
_EVERY: Identity = {"step": DERIVED_BY, "step_version": STEP_VERSION, "schema_version": FORMAT}
"""What every identity of eval begins with."""
DATASET_TABLES = ("samples", "labels", "sample_labels")
MODEL_TABLES = ("tokens", "token_labels")
METRICS = ("thresholds", "detection", "selection")
LOCALIZATION = ("localization_scores", "localization")
DISTRIBUTIONS = ("distributions", "separation", "superactivator_ratio")
SUMMARIES = ("layer_selection", "summary")

STAGES = ("detect", "localize", "layers", "distributions")
KEPT_CONCEPTS = 20
"""Concepts of an unsupervised set whose detection on cal is kept for every (detector, label)."""

Keys = dict[str, Any]
Paths = Callable[[Published], list[Path]]
"""Gives the files of a partition after checking that they are whole."""


@dataclass(frozen=True)
class Protocol:
    """What eval may be asked to do differently; all of it is in the identity of the rows that depend on it."""

    seed: int = 0
    replicates: int = REPLICATES
    all_pairs: bool = False
    labels: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1 << 64:
            raise BadInput(what=f"{self.seed} is no seed.", remedy="Give a whole number from 0 to 2^64 - 1.")


@dataclass
class Layer:
    """One (layer, concept set, unit) to evaluate: its inputs, what each of its tables is made from, and what is to be filled.

    `dense`: an unsupervised set without stored activations, scored from its embeddings. `labels`: those evaluated, or None.
    """

    keys: Keys
    sources: dict[str, Published]
    method: str
    measure: str
    supervised: bool
    dense: bool
    labels: tuple[str, ...] | None
    identities: dict[str, Identity]
    parts: dict[str, StagedPartition] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """The layer."""
        return int(self.keys["layer"])

    @property
    def unit(self) -> str:
        """`token` or `cls`."""
        return str(self.keys["unit"])

    def own(self, table: str) -> Keys:
        """The path keys of one of its tables: those about tokens have no unit."""
        return keys_of(table, self.keys)

    def todo(self, tables: Iterable[str]) -> bool:
        """True when one of these tables is to be filled."""
        return any(table in self.parts and not self.parts[table].current for table in tables)


def widest(layers: Sequence[Layer]) -> Layer:
    """One of the layers, with the labels that any of them evaluates: what binds the tables that all of them share."""
    every = [layer.labels for layer in layers]
    labels = None if None in every else tuple(sorted({label for own in every for label in own or ()}))
    return replace(layers[0], labels=labels)


def keys_of(table: str, keys: Keys) -> Keys:
    """Those of the keys that stand in the path of a table."""
    return {name: keys[name] for name in tables()[table].path}


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
    stranded: list[Keys] = []
    methods = set()
    for partition in sorted({p.partition.keys for p in run.state.select("concepts", **wanted)}):
        keys = dict(partition)
        facts = facts_of(run, paths, keys)
        methods.add(facts["method"])
        if method not in (None, facts["method"]):
            continue
        if stored_activations(run, keys) is not None:
            found.append(keys)
        elif not facts["supervised"]:
            dense = run.state.get("embeddings", **keys_of("embeddings", keys)) or run.state.get("selection", **keys)
            (found if dense else stranded).append(keys)
    if method is not None and methods and method not in methods:
        raise BadInput(what=f"No concept set has method {method!r}.", remedy=f"There are {', '.join(sorted(methods))}.")
    if found:
        for keys in stranded:
            say(f"{' '.join(map(str, keys.values()))} is left out: it is unsupervised, and its embeddings are gone")
        return found
    if stranded:
        return stranded  # planning them says what is missing
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
    activations = stored_activations(run, keys)
    if activations is not None:
        sources["activations"] = activations
    for table in ("embeddings", "layer_stats"):
        published = run.state.get(table, **keys_of(table, keys))
        if published is not None:
            sources[table] = published
    dense = activations is None
    _check_inputs(run, keys, activations, sources, facts["supervised"])
    layer = Layer(keys, sources, facts["method"], facts["score"], facts["supervised"], dense, None, {})
    hashes = {table: source.hash for table, source in sources.items()}
    if dense:
        found = _embeddings_hash(run, layer, "sample_scores")
        if found is None:
            raise no_embeddings(run, layer)
        hashes["embeddings"] = found
    layer.labels = _labels(run, keys, protocol, paths)
    layer.identities = _identities(layer, protocol, hashes)
    _plan_localization_scores(run, layer, hashes)
    return layer


def _identities(layer: Layer, protocol: Protocol, hashes: dict[str, str]) -> dict[str, Identity]:
    """What every table of a layer but localization's is made from; a derived table is named by its own identity's hash."""

    def identity(table: str, inputs: Iterable[str], **fields: Any) -> Identity:
        found = {**_EVERY, "table": table, **fields, **{f"input:{name}": hashes[name] for name in inputs}}
        hashes[table] = hash_of(found)
        return found

    token = layer.unit == "token"
    seed = {"seed": protocol.seed} if token else {}  # of the random token
    scored = ["embeddings", "layer_stats"] if layer.dense else ["activations"]
    rolled = [*scored, "concepts", "concept_sets", "samples", *(["tokens"] if token else [])]
    judged = [*rolled, "labels", "sample_labels", *(["token_labels"] if token else [])]
    extent: Identity = {} if layer.labels is None else {"labels": list(layer.labels)}
    kept: Identity = {} if layer.supervised else {"kept_concepts": "all" if protocol.all_pairs else KEPT_CONCEPTS}
    found = {"sample_scores": identity("sample_scores", rolled, **seed)}
    for table in METRICS:
        found[table] = identity(table, judged, **seed, **extent, **(kept if table == "detection" else {}))
    if layer.dense:
        found["activations"] = identity("activations", ["embeddings", "layer_stats", "concepts", "selection"])
    if token:
        for table in DISTRIBUTIONS:
            found[table] = identity(table, ["activations", "selection", "concepts", *DATASET_TABLES, "token_labels"])
        found["localization_scores"] = {}
        found["localization"] = {}
    return found


def _plan_localization_scores(run: Run, layer: Layer, hashes: dict[str, str]) -> None:
    """Identities of localization: with the alignment of tokens where there are embeddings, or were when it was computed.

    The alignment depends on what detector superactivator selected, which follows from the inputs named here; the seed, which
    other detectors read, leaves it alone.
    """
    if layer.unit != "token":
        return
    inputs = ["embeddings", "layer_stats", "concepts", "concept_sets", *DATASET_TABLES, *MODEL_TABLES]
    inputs += [] if layer.dense else ["activations"]
    embeddings = _embeddings_hash(run, layer, "localization_scores")
    scores: Identity = {}
    if embeddings is not None and "layer_stats" in hashes:
        known = {**hashes, "embeddings": embeddings}
        extent: Identity = {} if layer.labels is None else {"labels": list(layer.labels)}
        scores = {
            **_EVERY,
            "table": "localization_scores",
            **extent,
            **{f"input:{name}": known[name] for name in inputs},
        }
        published = run.state.get("localization_scores", **layer.own("localization_scores"))
        if "embeddings" not in layer.sources and (published is None or published.identity != scores):
            scores = {}  # the embeddings are gone, and so is what could be made of them
    if scores:
        layer.identities["localization_scores"] = scores
        hashes["localization_scores"] = hash_of(scores)
    else:
        del layer.identities["localization_scores"]
    inputs = ["activations", "selection", "thresholds", "samples", "labels", "tokens", "token_labels"]
    inputs += ["localization_scores"] if scores else []
    seed = layer.identities["selection"]["seed"]  # of the drawn tokens
    found = {**_EVERY, "table": "localization", "seed": seed, **{f"input:{name}": hashes[name] for name in inputs}}
    layer.identities["localization"] = found


def _embeddings_hash(run: Run, layer: Layer, table: str) -> Any:
    """Hash of the embeddings, or of those that a derived table was made from before they were dropped; or None."""
    if "embeddings" in layer.sources:
        return layer.sources["embeddings"].hash
    published = run.state.get(table, **layer.own(table))
    return None if published is None else published.identity.get("input:embeddings")


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
        "detect": ("sample_scores", *METRICS, "activations"),
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


def _check_inputs(
    run: Run, keys: Keys, activations: Published | None, sources: dict[str, Published], supervised: bool
) -> None:
    """Raise StaleInput where scores say that they were made from other inputs than those published now.

    They would be judged by splits, labels or names that they were not made with.
    """
    where = " ".join(f"--{name} {value}" for name, value in keys.items() if name in ("dataset", "model"))
    stats = sources.get("layer_stats")
    if activations is not None:
        again = f"superact score {where} --replace{'' if supervised else ' --keep all'}"
        if activations.meta.get("concepts", sources["concepts"].hash) != sources["concepts"].hash:
            raise StaleInput(partition=str(activations.partition), differences="concepts", command=again)
        if "input:layer_stats" not in activations.identity:
            return
        stats = needed(run, "layer_stats", **keys_of("layer_stats", keys))
        if activations.identity["input:layer_stats"] != stats.hash:
            raise StaleInput(partition=str(activations.partition), differences="layer_stats", command=again)
    if stats is None:
        return
    differing = _differing(stats, sources)
    if differing:
        raise StaleInput(
            partition=str(stats.partition),
            differences=", ".join(differing),
            command=f"superact ingest {where} --layers {keys['layer']} --replace",
        )


def _differing(stats: Published, sources: dict[str, Published]) -> list[str]:
    """Where the statistics of a layer name other samples, splits, tokens or model settings than the tables have."""
    found = set()
    for table in ("samples", "tokens"):
        source = sources.get(table)
        if source is None:
            continue
        if stats.identity.get(f"input:{table}", source.hash) != source.hash:
            found.add(table)
        for name in stats.identity.keys() & source.identity.keys():
            if name in ("sources", "splits") or name.startswith("model:"):
                found |= {name} if stats.identity[name] != source.identity[name] else set()
    return sorted(found)


def summary_identity(protocol: Protocol, layers: Sequence[Layer], table: str) -> Identity:
    """What a table over these layers of one (dataset, model, concept_set, unit) is made from."""
    # Of the bootstrap: layer_selection draws nothing.
    drawn = {} if table == "layer_selection" else {"seed": protocol.seed, "replicates": protocol.replicates}
    return {
        **_EVERY,
        "table": table,
        **drawn,
        **{f"layer:{layer.number}": hash_of(layer.identities["selection"]) for layer in layers},
    }
