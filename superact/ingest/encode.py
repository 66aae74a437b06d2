"""Stage encode: table `embeddings` in; `sae_activations`, `sae_stats`, and the autoencoder's `concept_sets` and `concepts` out.

Embeddings are read in blocks of a few hundred rows, encoded, and written as soon as SHARD_NONZEROS are held: memory holds the
weights, a block of activations for each processor (8 MB, or 1 kB a feature), the non-zeros of a file and those on their way
to disk, whatever the data. A file is sorted by (feature, sample, token): row order is the index. Where files end
depends on the values alone, so that a run that was killed goes on behind its last finished file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor

from superact.concepts.sae import Sae
from superact.concepts.sae.blocks import in_order, workers_on
from superact.concepts.sae.sparse import NonZeros
from superact.errors import BadInput, IdentityMismatch, NonFinite
from superact.ingest.describe import arrow, write_small
from superact.ingest.identity import base
from superact.ingest.sae_stats import Splits, Sums, stats_rows
from superact.ingest.sources import Block, frame, needed, stored_blocks
from superact.store import Published, Run, Warehouse
from superact.store.files import check_free
from superact.store.identity import Identity, differences
from superact.store.rows import lists, optional_lists
from superact.store.staging import StagedPartition

METHOD, ZERO = "sae", "zero_vector"
NONZERO_BYTES = 8
"""Bytes on disk of a row of table sae_activations, at most."""
SHARD_NONZEROS = 4 << 20
GROUP_ROWS = 128 << 10
"""Rows of a row group: what is read to find one feature in a file, at least."""
_CONCEPT_ROWS = 4096

Array = np.ndarray[Any, Any]
Progress = Callable[[str, int, int], None]
Encoded = tuple[Array, Array, NonZeros, Sums]


def encode(
    warehouse: Warehouse,
    sae: Sae,
    *,
    dataset: str,
    model: str,
    layer: int,
    units: tuple[str, ...] = ("token", "cls"),
    concept_set: str = METHOD,
    top_k: int | None = None,
    replace: bool = False,
    progress: Progress | None = None,
) -> int:
    """Encode the stored embeddings of a layer with an autoencoder (on the device of its weights), and publish.

    Of each row the `top_k` largest activations are stored, or all that are above 0. Returns the rows of sae_activations
    published; 0 when they were there already.
    Errors: MissingTable without embeddings, BadInput for another width, NonFinite, IdentityMismatch, NotEnoughDisk, Locked.
    """
    if top_k is not None and top_k < 1:
        raise BadInput(what=f"--top-k {top_k} keeps nothing.", remedy="Give at least 1, or leave it out to keep all.")
    with warehouse.run("encode", replace=replace) as run:
        run.provenance = {"device": str(sae.W_enc.device), "source": sae.source}
        splits = Splits.read(warehouse, needed(warehouse, run.state, "encode", "samples", dataset=dataset))
        done = []
        for unit in units:
            keys = {"dataset": dataset, "model": model, "layer": layer, "unit": unit}
            embeddings = needed(warehouse, run.state, "encode", "embeddings", **keys)
            _check_width(sae, embeddings, keys)
            done.append(_declare(run, sae, embeddings, splits, {**keys, "concept_set": concept_set}, top_k))
        _check_disk(warehouse, sae, [each for each in done if not each.current], top_k)
        for each in done:
            if not each.current:
                each.run(warehouse, sae, top_k, progress)
        document = run.publish()
    entries = document["partitions"] if document else []
    return sum(entry["rows"] for entry in entries if entry["table"] == "sae_activations")


@dataclass
class Encoding:
    """One unit of a layer: its embeddings, the partitions that are made from them, and what is held until the next file."""

    keys: dict[str, Any]
    embeddings: Published
    activations: StagedPartition
    stats: StagedPartition
    splits: Splits
    sums: list[Sums] = field(default_factory=list)
    _held: list[tuple[Array, ...]] = field(default_factory=list)
    _rows: int = 0
    _nonzeros: int = 0
    _own: Sums | None = None

    @property
    def current(self) -> bool:
        """True when both tables are published."""
        return self.activations.current and self.stats.current

    def run(self, warehouse: Warehouse, sae: Sae, top_k: int | None, progress: Progress | None) -> None:
        """Encode every row behind the files that are finished, and stage both tables."""
        start = self._take_up(sae)
        shard = len(self.sums)
        done, total = 0, self.embeddings.rows
        name = " ".join(str(self.keys[key]) for key in ("dataset", "model", "layer", "unit"))
        blocks = _behind(stored_blocks(warehouse, self.embeddings, sae.block_rows), start)
        for block in in_order(lambda block: self._encode(sae, top_k, *block), blocks, workers_on(sae.W_enc.device)):
            self._add(*block)
            done += len(block[0])
            if self._nonzeros >= SHARD_NONZEROS:
                shard = self._flush(shard, sae)
            if progress:
                progress(f"encode {name}", start + done, total)
        if self._rows or shard == 0:
            self._flush(shard, sae)
        if not self.stats.current:
            self.stats.write(0, [arrow("sae_stats", **stats_rows(self.sums, sae.d_sae))])

    def _take_up(self, sae: Sae) -> int:
        """Count the files that an interrupted run finished, as far as none lacks among them; returns their rows.

        A file whose sums are of other splits counts as lacking. Those behind it go: this time files may end elsewhere.
        """
        self.sums, start = [], 0
        done = self.activations.done
        while (file := done.get(len(self.sums))) and file.note.get("split_digest") == self.splits.digest:
            self.sums.append(Sums.from_note(file.note, sae.d_in, sae.d_sae))
            start += file.note["rows"]
        for shard in [number for number in sorted(done) if number >= len(self.sums)]:
            self.activations.strike_out(shard)
        self._own = Sums.zeros(sae.d_in, sae.d_sae)
        return start

    def _encode(self, sae: Sae, top_k: int | None, sample: Array, token: Array, rows: Tensor) -> Encoded:
        """The non-zeros of a block and its sums; runs on any of the workers."""
        rows = rows.to(sae.W_enc.device)
        found = sae.encode_sparse(rows, top_k)
        sums = Sums.zeros(sae.d_in, sae.d_sae)
        bad = sums.add(self.splits.of[sample], rows, sae.decode_sparse(found, len(rows), rows), found)
        if bad is not None:
            raise NonFinite(kind="stored hidden state", layer=self.keys["layer"], sample=int(sample[bad]))
        return sample, token, found, sums

    def _add(self, sample: Array, token: Array, found: NonZeros, sums: Sums) -> None:
        assert self._own is not None
        self._own.merge(sums)
        row, feature, activation = found
        self._held.append((sample, token, np.bincount(row, minlength=len(sample)), feature, activation))
        self._rows += len(sample)
        self._nonzeros += len(found[0])

    def _flush(self, shard: int, sae: Sae) -> int:
        """Write what is held as a file; returns the number of the next one."""
        assert self._own is not None
        if not self.activations.current:
            groups = activation_groups(self._held, sae.d_sae) if self._held else []
            note = {"rows": self._rows, "split_digest": self.splits.digest, **self._own.to_note()}
            self.activations.write(shard, groups, note)
        self.sums.append(self._own)
        self._own, self._held, self._rows, self._nonzeros = Sums.zeros(sae.d_in, sae.d_sae), [], 0, 0
        return shard + 1


def _behind(blocks: Iterator[Block], start: int) -> Iterator[Block]:
    """The blocks without their first rows, of which so many are done."""
    for sample, token, rows in blocks:
        skipped = min(len(sample), start)
        start -= skipped
        if skipped < len(sample):
            yield sample[skipped:], token[skipped:], rows[skipped:]


def activation_groups(held: list[tuple[Array, ...]], n_features: int) -> list[pa.Table]:
    """Row groups of table sae_activations in (feature, sample, token) order.

    `held` are blocks of (sample [n], token [n], non-zeros of each row [n], feature [m], activation [m]) in (sample, token)
    order.
    """
    from scipy.sparse import csr_array

    sample, token, counts, feature, activation = (np.concatenate(part) for part in zip(*held, strict=True))
    starts = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    # From rows to columns by counting, a tenth of the time of a sort; within a feature the order of rows stays.
    columns = csr_array((activation, feature, starts), shape=(len(sample), n_features)).tocsc()
    features = np.repeat(np.arange(n_features, dtype=np.int32), np.diff(columns.indptr))
    where = columns.indices
    table = pa.table(
        {
            "sample": pa.array(sample[where]),
            "token": pa.array(token[where]),
            "feature": pa.array(features),
            "activation": pa.array(columns.data),
        }
    )
    return [table.slice(start, GROUP_ROWS) for start in range(0, table.num_rows, GROUP_ROWS)]


def _declare(
    run: Run, sae: Sae, embeddings: Published, splits: Splits, keys: dict[str, Any], top_k: int | None
) -> Encoding:
    """Declare the four partitions of a unit, and write those that say what the autoencoder is."""
    facts = {**base("encode"), "method": METHOD, "sae": sae.digest, "kind": sae.kind, "top_k": top_k}
    settings = {"kind": sae.kind, "source": sae.source, "digest": sae.digest, "top_k": top_k, "k": sae.k}
    about = dict(sae.about or {})
    row = {
        "method": [METHOD],
        "supervised": [False],
        "score": ["activation"],
        "k": [sae.d_sae],
        "seed": [about.get("seed")],
        "hyperparameters": [json.dumps({**settings, **about}, sort_keys=True, default=str)],
    }
    _check_recipe(run, facts, about, keys)
    write_small(run, "concept_sets", facts, arrow("concept_sets", **row), **keys)
    concepts = run.partition("concepts", {**base("encode"), "method": METHOD, "sae": sae.digest}, **keys)
    concepts.meta["width"] = sae.d_in
    if not concepts.current and 0 not in concepts.done:
        concepts.write(0, list(_concept_rows(sae)))
    made_from = {**facts, "input:embeddings": embeddings.hash}
    activations = run.partition("sae_activations", made_from, **keys)
    activations.meta["n_features"] = sae.d_sae
    # What eval compares with the tables that are there then: the embeddings may be dropped, and no identity changes by it.
    activations.meta["made_from"] = embeddings.identity
    stats = run.partition("sae_stats", {**made_from, "split_digest": splits.digest}, **keys)
    return Encoding(keys, embeddings, activations, stats, splits)


def _concept_rows(sae: Sae) -> Iterator[pa.Table]:
    """Row groups of table concepts: the decoder direction of every feature, in order of their names."""
    vectors = sae.W_dec.cpu().numpy()
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    names = np.array([str(feature) for feature in range(sae.d_sae)], dtype=object)
    order = np.argsort(names.astype(bytes), kind="stable")
    for start in range(0, len(order), _CONCEPT_ROWS):
        chosen = order[start : start + _CONCEPT_ROWS]
        zero = norms[chosen] == 0
        own = vectors[chosen]
        vector = (
            optional_lists([None if z else v for z, v in zip(zero, own, strict=True)]) if zero.any() else lists(own)
        )
        columns = {
            "concept": names[chosen].tolist(),
            "method": [METHOD] * len(chosen),
            "vector": vector,
            "bias": [0.0] * len(chosen),
            "norm": [None if z else float(norm) for z, norm in zip(zero, norms[chosen], strict=True)],
            "status": [ZERO if z else "ok" for z in zero],
        }
        yield arrow("concepts", **columns)


def _check_width(sae: Sae, embeddings: Published, keys: dict[str, Any]) -> None:
    width = embeddings.meta["width"]
    if width != sae.d_in:
        where = f"layer {keys['layer']} of {keys['dataset']} {keys['model']}"
        raise BadInput(
            what=f"The SAE {sae.source} reads embeddings of width {sae.d_in}; {where} (unit {keys['unit']}) has {width}.",
            remedy="Take an SAE of this model and layer, or name the --layer that it was trained on.",
        )


def _check_recipe(run: Run, facts: Identity, about: dict[str, Any], keys: dict[str, Any]) -> None:
    """Raise IdentityMismatch where the set is published without the recipe by which the same weights were trained.

    The recipe decides no row, so that no identity names it; but `compare --seeds` asks for it, and it would never be noted.
    """
    published = run.state.get("concept_sets", **keys)
    if published is None or run.replace or published.identity != facts or "recipe" not in about:
        return
    (noted,) = frame(run.warehouse, published, ["hyperparameters"])["hyperparameters"]
    if "recipe" not in json.loads(noted):
        changed = "; ".join(differences({}, {"recipe": about["recipe"]}))
        raise IdentityMismatch(partition=str(published.partition), state="is published", differences=changed)


def _check_disk(warehouse: Warehouse, sae: Sae, todo: list[Encoding], top_k: int | None) -> None:
    """Raise NotEnoughDisk where so many non-zeros as are kept at most have no room; without a limit nothing is known."""
    most = min((limit for limit in (sae.k, top_k) if limit is not None), default=0)
    check_free(warehouse.root, NONZERO_BYTES * most * sum(each.embeddings.rows for each in todo))
