"""What is to be scored: the concept sets of a (layer, unit), and the files that their scores are cut into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from superact.errors import BadInput, MissingTable, NonFinite
from superact.ingest.identity import base, by_label, digest
from superact.ingest.scorer import Scorer, Vectors
from superact.ingest.sources import Block, frame, needed, read_stats
from superact.store import Published, Run, State, Warehouse
from superact.store.rows import activation_rows
from superact.store.shards import SCORE_BYTES, shard_tokens
from superact.store.staging import StagedPartition

ACTIVATION_BYTES = 7.5
"""Bytes on disk of a row of table activations, at most (contract, section 2)."""

KEEP = ("selected", "all")
"""Which activations of unsupervised sets are stored: by score all of them, or by eval those of selected concepts."""

Array = np.ndarray[Any, Any]


class SetWriter:
    """Cuts the scores of one concept set into files and hands them to its partition.

    Rows come in (sample, token) order. Files that an interrupted run finished are counted, not written again. The rows of a
    file depend on this set alone, so that which sets are scored together changes nothing.
    """

    def __init__(self, vectors: Vectors, part: StagedPartition) -> None:
        self._names = vectors.names
        self._part = part
        self._rows_per_file = shard_tokens(len(vectors.names))
        self._shard = 0
        self._filled = 0
        self._blocks: list[tuple[Array, ...]] = []

    def covers(self, n: int) -> bool:
        """True when the scores of the next n rows are stored already: they need not be computed."""
        last = self._shard + max(0, self._filled + n - 1) // self._rows_per_file
        return self._part.current or all(shard in self._part.done for shard in range(self._shard, last + 1))

    def skip(self, n: int) -> None:
        """Count n rows whose scores are stored already."""
        while n:
            step = min(n, self._rows_per_file - self._filled)
            self._advance(step)
            n -= step

    def add(self, *block: Array) -> None:
        """Take sample [n], token [n], cosine [C, n] and signed distance [C, n], any n."""
        start, n = 0, len(block[0])
        while start < n:
            stop = min(n, start + self._rows_per_file - self._filled)
            if not self._stored:
                self._blocks.append(tuple(part[..., start:stop] for part in block))
            self._advance(stop - start)
            start = stop

    def missing(self, rows: int) -> int:
        """Rows of table activations still to be written, of a (layer, unit) with so many rows."""
        written = sum(file.record.rows for file in self._part.done.values())
        return max(0, rows * len(self._names) - written)

    def buffered(self, rows: int) -> int:
        """Bytes of scores held at most until a file is written, of a (layer, unit) with so many rows."""
        return SCORE_BYTES * len(self._names) * min(rows, self._rows_per_file)

    def finish(self) -> None:
        """Write what is left; a partition without any row gets its zero-row file."""
        if self._filled or self._shard == 0:
            self._flush()

    @property
    def _stored(self) -> bool:
        """True when the file at hand is stored already."""
        return self._part.current or self._shard in self._part.done

    def _advance(self, n: int) -> None:
        self._filled += n
        if self._filled == self._rows_per_file:
            self._flush()

    def _flush(self) -> None:
        blocks, self._blocks = self._blocks, []
        if not self._stored:
            groups = []
            if blocks:
                columns = [np.concatenate([block[i] for block in blocks], axis=-1) for i in range(4)]
                groups = activation_rows(self._names, *columns)
            self._part.write(self._shard, groups)
        self._shard, self._filled = self._shard + 1, 0


@dataclass
class Target:
    """One (layer, unit) to score: the scorer of all its concept sets, and a writer for each."""

    dataset: str
    model: str
    layer: int
    unit: str
    scorer: Scorer
    writers: list[SetWriter]

    @property
    def keys(self) -> dict[str, Any]:
        """The path keys of the embeddings that are scored."""
        return {"dataset": self.dataset, "model": self.model, "layer": self.layer, "unit": self.unit}

    def add(self, block: Block) -> None:
        """Score a block of rows and hand the scores to the writers; nothing is computed when all of it is stored."""
        sample, token, rows = block
        n = len(sample)
        if self.skip(n):
            return
        cosine, distance = (scores.cpu().numpy() for scores in self.scorer(rows))
        self.store(sample, token, cosine, distance)

    def skip(self, n: int) -> bool:
        """Count the next n rows when the scores of all of them are stored already; False when they are to be computed."""
        covered = all(writer.covers(n) for writer in self.writers)
        if covered:
            for writer in self.writers:
                writer.skip(n)
        return covered

    def store(self, sample: Array, token: Array, cosine: Array, distance: Array) -> None:
        """Hand scores float32 [C, n] of rows in (sample, token) order to the writers. Errors: NonFinite."""
        for scores in (cosine, distance):
            # A sum of finite float32 scores is finite: none comes near the largest float.
            if not np.isfinite(scores.sum()):
                bad = int(np.argmax(~np.isfinite(scores).all(axis=0)))
                raise NonFinite(kind="score", layer=self.layer, sample=int(sample[bad]))
        first = 0
        for vectors, writer in zip(self.scorer.sets, self.writers, strict=True):
            last = first + len(vectors.names)
            writer.add(sample, token, cosine[first:last], distance[first:last])
            first = last

    def finish(self) -> None:
        """Write what the buffers hold."""
        for writer in self.writers:
            writer.finish()


def read_vectors(warehouse: Warehouse, concepts: Published, name: str) -> Vectors:
    """The vectors of status ok of one concepts partition."""
    rows = pq.read_table(
        [warehouse.root / file.path for file in concepts.files], columns=["concept", "vector", "bias", "status"]
    ).to_pylist()
    good = [row for row in rows if row["status"] == "ok"]
    width = concepts.meta["width"]
    vectors = np.array([row["vector"] for row in good], dtype=np.float32).reshape(len(good), width)
    return Vectors(name, [row["concept"] for row in good], vectors, np.array([row["bias"] for row in good]))


def check_keep(keep: str) -> None:
    """Raise BadInput for what is not among KEEP."""
    if keep not in KEEP:
        raise BadInput(what=f"--keep {keep!r} is unknown.", remedy=f"Choose {' or '.join(KEEP)}.")


def supervised(warehouse: Warehouse, state: State, concepts: Published) -> bool:
    """What table concept_sets says of a concepts partition. Errors: MissingTable."""
    keys = dict(concepts.partition.keys)
    published = needed(warehouse, state, "score", "concept_sets", **keys)
    return bool(frame(warehouse, published, ["supervised"])["supervised"].item())


def encoded(warehouse: Warehouse, state: State, concepts: Published) -> bool:
    """True for the features of an autoencoder, which `superact sae encode` has scored: neither score nor eval do it again."""
    published = needed(warehouse, state, "score", "concept_sets", **dict(concepts.partition.keys))
    return bool(frame(warehouse, published, ["score"])["score"].item() == "activation")


def left_to_eval(warehouse: Warehouse, keep: str = "selected", **wanted: Any) -> list[str]:
    """Names of the concept sets that match and that `score` leaves to eval: the unsupervised ones, unless all are kept."""
    state = warehouse.state()
    found = state.select("concepts", **wanted) if keep == "selected" else []
    unsupervised = (p for p in found if not supervised(warehouse, state, p) and not encoded(warehouse, state, p))
    return sorted({str(dict(concepts.partition.keys)["concept_set"]) for concepts in unsupervised})


def waiting_for_eval(warehouse: Warehouse, **wanted: Any) -> list[str]:
    """Names of the unsupervised sets that match and are scored neither whole nor by eval: they still need their embeddings."""
    state = warehouse.state()
    found = set()
    for concepts in state.select("concepts", **wanted):
        keys = dict(concepts.partition.keys)
        scored = state.get("activations", **keys) or state.get("selection", **keys)
        if scored is None and not supervised(warehouse, state, concepts) and not encoded(warehouse, state, concepts):
            found.add(str(keys["concept_set"]))
    return sorted(found)


def targets(
    run: Run, warehouse: Warehouse, device: torch.device | str, keep: str = "selected", **wanted: Any
) -> list[Target]:
    """What is still to be scored: every (layer, unit) with concepts that match, its partitions declared in `run`.

    Unsupervised sets are among them when `keep` is `all`. Errors: MissingTable where no concept set matches.
    """
    state = run.state
    matching = state.select("concepts", **wanted)
    groups: dict[tuple[Any, ...], list[Published]] = {}
    for concepts in matching:
        if (keep == "all" or supervised(warehouse, state, concepts)) and not encoded(warehouse, state, concepts):
            keys = dict(concepts.partition.keys)
            groups.setdefault((keys["dataset"], keys["model"], keys["layer"], keys["unit"]), []).append(concepts)
    if not matching:
        where = ", ".join(f"{name} {value}" for name, value in wanted.items() if value is not None) or "anything"
        raise MissingTable(
            stage="score", table="concepts", where=where, warehouse=warehouse.root, command="superact learn"
        )
    found = [_target(run, warehouse, device, key, members) for key, members in groups.items()]
    return [target for target in found if target is not None]


def _target(
    run: Run, warehouse: Warehouse, device: torch.device | str, key: tuple[Any, ...], members: list[Published]
) -> Target | None:
    dataset, model, layer, unit = key
    keys = {"dataset": dataset, "model": model, "layer": layer, "unit": unit}
    stats = needed(warehouse, run.state, "score", "layer_stats", **keys)
    mean, rms, _ = read_stats(warehouse, stats)
    sets, writers = [], []
    for concepts in members:
        name = str(dict(concepts.partition.keys)["concept_set"])
        vectors = read_vectors(warehouse, concepts, name)
        digests = {n: digest(v, str(b)) for n, v, b in zip(vectors.names, vectors.vectors, vectors.biases, strict=True)}
        identity = {**base("score"), "input:layer_stats": stats.hash, **by_label(digests)}
        part = run.partition("activations", identity, concept_set=name, **keys)
        part.meta["concepts"] = concepts.hash  # eval refuses scores of other vectors than those published
        if not part.current:
            sets.append(vectors)
            writers.append(SetWriter(vectors, part))
    if not sets:
        return None
    scorer = Scorer(sets, mean, rms, device)
    return Target(dataset, model, layer, unit, scorer, writers)
