"""Stage extract: a dataset and a model in; samples, labels, tokens, token labels, layer statistics and embeddings out."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from superact.datasets.words import first_word, token_labels, tokens_to_words
from superact.errors import BadInput
from superact.ingest.describe import arrow, write_labels, write_layer_stats, write_small, write_token_labels
from superact.ingest.forward import Wanted, run_forward
from superact.ingest.identity import base
from superact.ingest.job import Job, Shard
from superact.ingest.outbox import Outbox
from superact.store import Run, Warehouse
from superact.store.identity import hash_of
from superact.store.rows import embedding_rows
from superact.store.staging import StagedPartition

Progress = Callable[[int, int], None]


class Statistics:
    """Sums over the train rows of every (layer, unit), a shard at a time; kept as notes so that a resumed run has them."""

    def __init__(self, job: Job, parts: dict[Wanted, StagedPartition]) -> None:
        self._job, self._parts = job, parts
        self._sums: dict[Wanted, tuple[Tensor, Tensor, int]] = {}
        self._train = np.zeros(0, dtype=bool)
        self._rows: dict[str, np.ndarray[Any, Any]] = {}

    def wants(self, shard: Shard) -> set[Wanted]:
        """Every (layer, unit) without a note for this shard."""
        return {key for key, part in self._parts.items() if not part.current and shard.number not in part.notes}

    def begin(self, shard: Shard) -> None:
        """Mark which rows of the shard are train rows."""
        self._sums.clear()
        self._rows = {unit: np.isin(shard.keys(unit)[0], self._job.train) for unit in self._job.units}

    def take(self, wanted: Wanted, positions: np.ndarray[Any, Any], rows: Tensor) -> None:
        """Add the train rows of a batch, in float64."""
        part = self._parts[wanted]
        if part.current:
            return
        train = self._rows[wanted[1]][positions]
        chosen = rows if train.all() else rows[torch.from_numpy(train).to(rows.device)]
        total = chosen.sum(dim=0, dtype=torch.float64)
        squares = (chosen * chosen).sum(dtype=torch.float64)
        if wanted in self._sums:
            before, square, n = self._sums[wanted]
            total, squares, count = before + total, square + squares, n + len(chosen)
        else:
            count = len(chosen)
        self._sums[wanted] = (total, squares, count)

    def end_batch(self) -> None:
        """Nothing to wait for: sums stay on the device until the shard ends."""

    def end(self, shard: Shard) -> None:
        """Note the sums of the shard."""
        for key, (total, squares, n) in self._sums.items():
            if shard.number not in self._parts[key].notes:
                packed = base64.b64encode(total.cpu().numpy().astype("<f8").tobytes()).decode()
                self._parts[key].remember(shard.number, {"sum": packed, "squares": float(squares), "n": n})

    def finish(self, key: Wanted) -> tuple[np.ndarray[Any, Any], float, int]:
        """Mean float32 [d], RMS norm and count of the train rows, shards added in order.

        Errors: BadInput where there is no train row.
        """
        notes = self._parts[key].notes
        total = np.zeros(self._job.model.width)
        squares, n = 0.0, 0
        for shard in sorted(notes):
            total += np.frombuffer(base64.b64decode(notes[shard]["sum"]), dtype="<f8")
            squares += notes[shard]["squares"]
            n += notes[shard]["n"]
        if n == 0:
            raise BadInput(
                what=f"{self._job.dataset.name} has no train sample with a content token.",
                remedy="Mean and RMS come from the train split: give some rows of metadata.csv split train.",
            )
        return (total / n).astype(np.float32), float(np.sqrt(squares / n)), n


class EmbeddingWriter:
    """Collects the rows of a shard on the host and hands each (layer, unit) to its partition."""

    def __init__(self, job: Job, parts: dict[Wanted, StagedPartition]) -> None:
        self._job, self._parts = job, parts
        self._outbox = Outbox(job.model.device)
        self._host: dict[Wanted, np.ndarray[Any, Any]] = {}

    def wants(self, shard: Shard) -> set[Wanted]:
        """Every (layer, unit) whose file of this shard is missing."""
        return {key for key, part in self._parts.items() if not part.current and shard.number not in part.done}

    def begin(self, shard: Shard) -> None:
        """Make room for the shard's rows."""
        width = self._job.model.width
        self._host = {key: np.empty((len(shard.keys(key[1])[0]), width), np.float32) for key in self.wants(shard)}

    def take(self, wanted: Wanted, positions: np.ndarray[Any, Any], rows: Tensor) -> None:
        """Put the rows of a batch in their places."""
        if wanted in self._host:
            host = self._host[wanted]

            def receive(values: np.ndarray[Any, Any]) -> None:
                host[positions] = values

            self._outbox.send(rows, receive)

    def end_batch(self) -> None:
        """Let what the batch before sent arrive."""
        self._outbox.end_batch()

    def end(self, shard: Shard) -> None:
        """Write the shard's files."""
        self._outbox.flush()
        for key, values in self._host.items():
            sample, token = shard.keys(key[1])
            self._parts[key].write(shard.number, [embedding_rows(sample, token, values)])
        self._host = {}


def extract(
    warehouse: Warehouse,
    job: Job,
    *,
    keep_embeddings: bool = True,
    replace: bool = False,
    progress: Progress | None = None,
) -> int:
    """Run the stage and publish it; returns the rows published (0: all was there).

    Free disk space is checked first against what uncompressed embeddings would take.

    Errors: BadInput and its kin for the data, NonFinite, IdentityMismatch, NotEnoughDisk, Locked.
    """
    rows = job.counts.content + job.counts.samples
    expected = rows * job.model.width * 4 * len(job.layers) if keep_embeddings else 0
    with warehouse.run("extract", replace=replace, expected_bytes=expected) as run:
        wanted = [(layer, unit) for layer in job.layers for unit in job.units]
        stats, embeddings = {}, {}
        for layer, unit in wanted:
            keys: dict[str, Any] = {**job.keys, "layer": layer, "unit": unit}
            stats[layer, unit] = run.partition("layer_stats", job.stats_identity(layer, unit), **keys)
            if keep_embeddings:
                part = run.partition("embeddings", job.layer_identity(layer, unit), **keys)
                part.meta["width"] = job.model.width
                embeddings[layer, unit] = part
        describe(run, job)
        statistics = Statistics(job, stats)
        ran = run_forward(job, [statistics, EmbeddingWriter(job, embeddings)], progress)
        run.provenance = {**job.model.provenance, **ran, "embeddings": "keep" if keep_embeddings else "none"}
        run.drain()
        for (layer, unit), part in stats.items():
            if not part.current:
                mean, rms, n = statistics.finish((layer, unit))
                identity = job.stats_identity(layer, unit)
                write_layer_stats(run, identity, mean, rms, n, **job.keys, layer=layer, unit=unit)
        document = run.publish()
    return sum(entry["rows"] for entry in document["partitions"]) if document else 0


def describe(run: Run, job: Job) -> None:
    """Tables datasets, models, samples, labels, sample_labels, tokens and token_labels of a job."""
    dataset, model = job.dataset, job.model
    identity = {**base("extract"), "sources": job.sources, "splits": job.splits}
    facts = {
        "name": [dataset.name],
        "source": [dataset.root.name],
        "modality": [dataset.modality],
        "licence": [dataset.licence],
        "digest": [dataset.digest()],
    }
    write_small(run, "datasets", identity, arrow("datasets", **facts), dataset=dataset.slug)
    about = {
        "name": [model.name],
        "source": [model.source],
        "modality": [model.modality],
        "licence": [model.licence],
        "revision": [model.identity["revision"]],
        "blocks": [model.n_blocks],
        "width": [model.width],
    }
    identity_of_model = {**base("extract"), **{f"model:{k}": v for k, v in model.identity.items()}}
    write_small(run, "models", identity_of_model, arrow("models", **about), model=model.slug)
    write_small(run, "samples", identity, _samples(job), dataset=dataset.slug)
    labels = pl.DataFrame(
        {
            "label": [label.name for label in dataset.labels],
            "source": [label.source for label in dataset.labels],
            "evaluated": [True] * len(dataset.labels),
        }
    )
    write_labels(run, "extract", dataset.slug, labels, dataset.sample_labels)
    _describe_tokens(run, job)


def _samples(job: Job) -> Any:
    dataset = job.dataset
    rows = dataset.samples if job.subset is None else dataset.samples[job.subset]
    columns: dict[str, Any] = {
        "sample": rows["sample"].to_numpy(),
        "path": rows["path"].to_list(),
        "split": rows["split"].to_list(),
        "modality": [dataset.modality] * len(rows),
    }
    if dataset.modality == "text":
        columns["text"] = [dataset.text(sample) for sample in columns["sample"].tolist()]
    else:
        columns["width"] = [job.sizes[sample][0] for sample in job.samples]
        columns["height"] = [job.sizes[sample][1] for sample in job.samples]
    return arrow("samples", **columns)


def _describe_tokens(run: Run, job: Job) -> None:
    """Tables tokens and token_labels, a file of tokens a shard."""
    identity = job.model_identity()
    tokens = run.partition("tokens", identity, **job.keys)
    positives: list[pl.DataFrame] = []
    for shard in job.shards():
        rows = [
            _text_tokens(job, shard, i) if shard.texts else _patches(job, shard, i) for i in range(len(shard.samples))
        ]
        positives.extend(labels for _, labels in rows)
        if not tokens.current and shard.number not in tokens.done:
            columns = {name: np.concatenate([row[name] for row, _ in rows]) for name in rows[0][0]} if rows else {}
            tokens.write(shard.number, [arrow("tokens", **columns)])
    frame = pl.concat(positives) if positives else _no_labels()
    names = [label.name for label in job.dataset.labels]
    write_token_labels(run, "extract", hash_of(identity), names, frame, **job.keys)


def _no_labels() -> pl.DataFrame:
    return pl.DataFrame(schema={"sample": pl.Int32, "token": pl.Int32, "label": pl.String})


def _label_frame(sample: int, positives: dict[str, np.ndarray[Any, Any]]) -> pl.DataFrame:
    frames = [
        pl.DataFrame({"sample": np.full(len(tokens), sample, np.int32), "token": tokens.astype(np.int32)}).with_columns(
            label=pl.lit(label)
        )
        for label, tokens in positives.items()
        if len(tokens)
    ]
    return pl.concat(frames) if frames else _no_labels()


def _text_tokens(job: Job, shard: Shard, index: int) -> tuple[dict[str, Any], pl.DataFrame]:
    sample, text = shard.samples[index], shard.texts[index]
    source = job.dataset.text(sample)
    spans = (text.char_start, text.char_end, text.is_content, source)
    words = first_word(*spans).astype(object)
    words[words < 0] = None
    n = len(text)
    columns = {
        "sample": np.full(n, sample, np.int32),
        "token": np.arange(n, dtype=np.int32),
        "text": np.array(text.pieces, dtype=object),
        "char_start": text.char_start,
        "char_end": text.char_end,
        "word": words,
        "is_content": text.is_content,
    }
    return columns, _label_frame(sample, token_labels(tokens_to_words(*spans), job.dataset.word_labels(sample)))


def _patches(job: Job, shard: Shard, index: int) -> tuple[dict[str, Any], pl.DataFrame]:
    sample = shard.samples[index]
    rows, cols = job.geometry.grid
    row, col = np.divmod(np.arange(rows * cols, dtype=np.int32), cols)
    columns = {
        "sample": np.full(rows * cols, sample, np.int32),
        "token": np.arange(rows * cols, dtype=np.int32),
        "row": row.astype(np.int32),
        "col": col.astype(np.int32),
        "is_content": shard.content[index],
    }
    positives = {}
    for label, mask in job.dataset.masks(sample).items():
        patches = job.geometry.patches(job.geometry.mask(mask))
        positives[label] = np.flatnonzero(patches & shard.content[index])
    return columns, _label_frame(sample, positives)
