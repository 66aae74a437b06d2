"""The dense scoring pass of unsupervised sets: a thousand concepts score every token, and almost none of it is stored.

One pass over the embeddings, block by block, writes the roll-up of every concept (sample_scores) and keeps the scores of the
cal tokens that carry a label, from which the all-pairs thresholds are made; after the selection, a second pass stores the
activations of the concepts that some label chose. Both passes score the same blocks with the same matrix product, so that a
threshold and the score that it equals have the same bits, on one machine and number of threads; another may differ in the last
one. Memory: a block of scores, and a range of concepts' calibration.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from superact.errors import NonFinite
from superact.metrics.embeddings import Block, Embeddings
from superact.metrics.layer import Layer
from superact.metrics.partition import batches, hold, hold_query
from superact.metrics.plan import no_embeddings
from superact.store.rows import activation_rows, row_keys
from superact.store.scratch import scratch_matrix
from superact.store.shards import shard_tokens
from superact.store.staging import StagedPartition

if TYPE_CHECKING:
    import duckdb

    from superact.metrics.evaluation import Evaluation

EPSILON = np.float32(1e-8)
BLOCK_SCORES = 8 << 20
"""Scores of a block at most: [concepts, rows]."""
CALIBRATION_ROWS = 1_000_000
"""Scores of calibration tokens that are handed to SQL at a time."""
FILE_ROWS = 2_000_000
"""Rows of sample_scores in one file, about; GROUP_ROWS in one row group."""
GROUP_ROWS = 64_000
AGGREGATES = {"token": ["last", "max", "mean", "random"], "cls": ["cls"]}

Array = np.ndarray[Any, Any]


class Vectors:
    """The concept vectors of a set, in DuckDB's name order: vectors float32 [C, d], norms and biases [C, 1]."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, names: list[str]) -> None:
        rows = connection.sql("SELECT vector, bias FROM concepts WHERE status = 'ok' ORDER BY concept").to_arrow_table()
        flat = rows["vector"].combine_chunks().flatten()
        self.vectors = np.asarray(flat, dtype=np.float32).reshape(len(names), -1)
        norms = np.linalg.norm(self.vectors.astype(np.float64), axis=1)
        self.norms = np.maximum(norms, EPSILON).astype(np.float32)[:, None]
        self.biases = np.asarray(rows["bias"], dtype=np.float32)[:, None]

    def dots(self, block: Block) -> Array:
        """<xhat, v> of every concept and row, float32 [C, n]."""
        product: Array = self.vectors @ block.xhat.T
        return product

    def scores(self, dots: Array, block: Block, measure: str, rows: Array | slice = slice(None)) -> Array:
        """Cosine or signed distance from the products of some concepts, float32."""
        if measure == "cosine":
            lengths = np.maximum(np.linalg.norm(block.xhat, axis=1), EPSILON)
            return dots / self.norms[rows] / lengths
        return (dots + self.biases[rows]) / self.norms[rows]


@dataclass
class Calibration:
    """Scores of the cal tokens that carry a label, float32 [C, m], and the rows they belong to."""

    connection: duckdb.DuckDBPyConnection
    names: list[str]
    sample: Array
    token: Array
    scores: Array
    ranges: list[tuple[str, str]]

    def bind_range(self, first: str, last: str) -> None:
        """Make `activations` these rows of a range of concepts; both scores are the one that the method is judged by."""
        start, stop = self.names.index(first), self.names.index(last) + 1
        m = len(self.sample)
        concept = np.repeat(np.arange(stop - start, dtype=np.int32), m)
        score = pa.array(np.ascontiguousarray(self.scores[start:stop]).reshape(-1))
        rows = pa.table(
            {
                "concept": pa.DictionaryArray.from_arrays(pa.array(concept), pa.array(self.names[start:stop])),
                "sample": pa.array(np.tile(self.sample, stop - start)),
                "token": pa.array(np.tile(self.token, stop - start)),
                "cosine": score,
                "signed_distance": score,
            }
        )
        hold_query(self.connection, "activations", rows)


class DenseScores:
    """The two passes over the embeddings of one unsupervised (layer, concept set, unit)."""

    def __init__(self, evaluation: Evaluation, layer: Layer, names: list[str]) -> None:
        self._evaluation, self._layer, self._names = evaluation, layer, names
        self._connection = evaluation.connection

    def _open(self) -> tuple[Vectors, Embeddings]:
        """What is multiplied. Errors: MissingTable where the embeddings were dropped."""
        sources = self._layer.sources
        for table in ("embeddings", "layer_stats"):
            if table not in sources:
                raise no_embeddings(self._evaluation.run, self._layer, table)
        vectors = Vectors(self._connection, self._names)
        paths = self._evaluation.paths
        rows = max(1, BLOCK_SCORES // max(1, len(self._names)))
        embeddings = Embeddings(paths(sources["embeddings"]), paths(sources["layer_stats"])[0], np.float32, rows)
        return vectors, embeddings

    @contextmanager
    def calibrated(self) -> Iterator[Calibration]:
        """The first pass: writes sample_scores unless they are there, and yields the calibration scores while they are needed.

        Errors: MissingTable, NonFinite, NotEnoughDisk.
        """
        wanted = self._calibration_tokens()
        scores = scratch_matrix(self._evaluation.run.warehouse.root, len(self._names), len(wanted))
        part = self._layer.parts.get("sample_scores")
        writer = None
        if part is not None and not part.current:
            writer = SampleScoreWriter(part, self._names, self._layer.unit, self._connection)
        if self._names and (writer is not None or len(wanted)):
            self._first_pass(wanted, scores, writer)
        if writer is not None:
            writer.finish()
        per_concept = max(len(wanted), self._pairs(), 1)
        yield Calibration(
            self._connection,
            self._names,
            (wanted >> 32).astype(np.int32),
            (wanted & 0xFFFFFFFF).astype(np.int32),
            scores,
            batches(self._names, per_concept, CALIBRATION_ROWS),
        )
        hold(self._connection, "activations")

    def _first_pass(self, wanted: Array, scores: Array, writer: SampleScoreWriter | None) -> None:
        vectors, embeddings = self._open()
        for block in embeddings:
            with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is refused, not warned of
                found = vectors.scores(vectors.dots(block), block, self._layer.measure)
            self._check(found, block)
            keys = row_keys(block.sample, block.token)
            first, last = np.searchsorted(wanted, [keys[0], keys[-1] + 1])
            if first < last:
                scores[:, first:last] = found[:, np.searchsorted(keys, wanted[first:last])]
            if writer is not None:
                writer.add(block, keys, found)

    def write_activations(self) -> None:
        """The second pass: stores the activations of every concept that some label chose. `selection` is bound or held."""
        part = self._layer.parts.get("activations")
        if part is None or part.current:
            return
        chosen = chosen_concepts(self._connection)
        part.meta["concepts"] = self._layer.sources["concepts"].hash
        writer = ActivationWriter(part, chosen)
        if chosen:
            vectors, embeddings = self._open()
            place = {name: index for index, name in enumerate(self._names)}
            index = np.array([place[name] for name in chosen])
            for block in embeddings:
                dots = vectors.dots(block)[index]
                cosine, distance = (vectors.scores(dots, block, kind, index) for kind in ("cosine", "signed_distance"))
                writer.add(block, cosine, distance)
        writer.finish()

    def _calibration_tokens(self) -> Array:
        """Keys of the cal tokens that carry a label, ascending; none for unit cls, which is calibrated on sample scores."""
        if self._layer.unit != "token":
            return np.empty(0, dtype=np.int64)
        query = "SELECT DISTINCT sample, token FROM calibration_tokens ORDER BY sample, token"
        rows = self._connection.sql(query).to_arrow_table()
        return row_keys(rows["sample"].to_numpy(), rows["token"].to_numpy())

    def _pairs(self) -> int:
        """Rows that one concept brings to a query of thresholds or detection."""
        query = "SELECT (SELECT count(*) FROM samples) + (SELECT count(*) FROM sample_labels)"
        ((samples,),) = self._connection.execute(query).fetchall()
        if self._layer.unit != "token":
            return int(samples)
        ((tokens,),) = self._connection.execute("SELECT count(*) FROM calibration_tokens").fetchall()
        return int(tokens) + 5 * int(samples)

    def _check(self, scores: Array, block: Block) -> None:
        if not np.isfinite(scores.sum()):
            bad = int(np.argmax(~np.isfinite(scores).all(axis=0)))
            raise NonFinite(kind="score", layer=self._layer.number, sample=int(block.sample[bad]))


def chosen_concepts(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Names of the concepts that some label chose, in DuckDB's order; `selection` is bound or held."""
    rows = connection.execute("SELECT DISTINCT concept FROM selection WHERE concept IS NOT NULL ORDER BY concept")
    return [name for (name,) in rows.fetchall()]


class SampleScoreWriter:
    """Rolls blocks of scores up and writes sample_scores, a file about FILE_ROWS rows, (concept, sample, aggregate) in each."""

    def __init__(
        self, part: StagedPartition, names: list[str], unit: str, connection: duckdb.DuckDBPyConnection
    ) -> None:
        self._part, self._names, self._aggregates = part, names, AGGREGATES[unit]
        rows = connection.sql("SELECT sample FROM samples ORDER BY sample").to_arrow_table()
        self._every = rows["sample"].to_numpy()
        self._seen: list[Array] = []
        self._random = np.empty(0, dtype=np.int64)
        if unit == "token":
            random = connection.sql("SELECT sample, token FROM random_tokens ORDER BY sample").to_arrow_table()
            self._random = row_keys(random["sample"].to_numpy(), random["token"].to_numpy())
        self._blocks: list[tuple[Array, Array]] = []
        self._rows, self._shard = 0, 0

    def add(self, block: Block, keys: Array, scores: Array) -> None:
        """Take the scores float32 [C, n] of a block whose rows have these keys."""
        if len(self._aggregates) == 1:
            rolled = scores[:, :, None]
        else:
            ends = np.r_[block.starts[1:], len(keys)]
            first, last = np.searchsorted(self._random, [keys[0], keys[-1] + 1])
            drawn = np.searchsorted(keys, self._random[first:last])
            sums = np.add.reduceat(scores, block.starts, axis=1, dtype=np.float64)
            means = (sums / (ends - block.starts)).astype(np.float32)
            highest = np.maximum.reduceat(scores, block.starts, axis=1)
            rolled = np.stack([scores[:, ends - 1], highest, means, scores[:, drawn]], axis=2)
        self._blocks.append((block.samples, rolled))
        self._seen.append(block.samples)
        self._rows += rolled.size
        if self._rows >= FILE_ROWS:
            self._flush()

    def finish(self) -> None:
        """Write what is held, and the samples without content tokens, whose scores are NULL."""
        seen = np.concatenate(self._seen) if self._seen else self._every[:0]
        left = np.setdiff1d(self._every, seen, assume_unique=True)
        if len(left) and self._names:
            shape = (len(self._names), len(left), len(self._aggregates))
            self._blocks.append((left, np.full(shape, np.nan, dtype=np.float32)))
        if self._blocks or self._shard == 0:
            self._flush()

    def _flush(self) -> None:
        blocks, self._blocks, self._rows = self._blocks, [], 0
        groups = list(self._groups(blocks)) if blocks else []
        self._part.write(self._shard, groups)
        self._shard += 1

    def _groups(self, blocks: list[tuple[Array, Array]]) -> Iterator[pa.Table]:
        """Row groups, each a range of concepts over all samples of the file."""
        sample = np.concatenate([samples for samples, _ in blocks])
        order = np.argsort(sample, kind="stable")
        n = len(sample) * len(self._aggregates)
        step = max(1, GROUP_ROWS // n)
        kinds = np.tile(np.arange(len(self._aggregates), dtype=np.int32), len(sample))
        for start in range(0, len(self._names), step):
            names = self._names[start : start + step]
            values = np.concatenate([rolled[start : start + step] for _, rolled in blocks], axis=1)[:, order]
            concept = np.repeat(np.arange(len(names), dtype=np.int32), n)
            kind = np.tile(kinds, len(names))
            yield pa.table(
                {
                    "concept": pa.DictionaryArray.from_arrays(pa.array(concept), pa.array(names)),
                    "sample": pa.array(np.tile(np.repeat(sample[order], len(self._aggregates)), len(names))),
                    "aggregate": pa.DictionaryArray.from_arrays(pa.array(kind), pa.array(self._aggregates)),
                    "score": pa.array(values.reshape(-1), from_pandas=True),
                }
            )


class ActivationWriter:
    """Cuts activations of the chosen concepts into files, as `superact score` does."""

    def __init__(self, part: StagedPartition, names: list[str]) -> None:
        self._part, self._names = part, names
        self._limit = shard_tokens(len(names))
        self._blocks: list[tuple[Array, ...]] = []
        self._rows, self._shard = 0, 0

    def add(self, block: Block, cosine: Array, distance: Array) -> None:
        """Take the scores float32 [C, n] of a block."""
        self._blocks.append((block.sample, block.token, cosine, distance))
        self._rows += len(block.sample)
        while self._rows >= self._limit:
            self._flush(self._limit)

    def finish(self) -> None:
        """Write what is held; a partition without any row gets its zero-row file."""
        if self._rows or self._shard == 0:
            self._flush(self._rows)

    def _flush(self, n: int) -> None:
        groups = []
        if self._blocks:
            columns = [np.concatenate([block[i] for block in self._blocks], axis=-1) for i in range(4)]
            groups = activation_rows(self._names, *(column[..., :n] for column in columns))
            self._blocks = [tuple(column[..., n:] for column in columns)]
        self._rows -= n
        self._part.write(self._shard, groups)
        self._shard += 1
