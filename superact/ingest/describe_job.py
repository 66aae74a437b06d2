"""The tables that say what a job is about: datasets, models, samples, labels, tokens, and who carries which label."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from superact.datasets.padding import check_padding
from superact.datasets.words import first_word, token_labels, tokens_to_words
from superact.ingest.describe import arrow, write_small, write_token_labels
from superact.ingest.describe_dataset import describe_dataset
from superact.ingest.identity import base
from superact.ingest.job import Job, Shard
from superact.store import Run
from superact.store.identity import hash_of

Array = np.ndarray[Any, Any]


def describe_job(run: Run, job: Job) -> None:
    """Tables datasets, models, samples, labels, sample_labels, tokens and token_labels of a job."""
    dataset = job.dataset
    if dataset.modality == "image":
        check_padding(dataset, job.geometry, job.sizes)
    sizes = job.sizes if dataset.modality == "image" else {}
    describe_dataset(run, dataset, job.samples_identity(), job.samples, sizes)
    _describe_model(run, job)
    _describe_tokens(run, job)


def _describe_model(run: Run, job: Job) -> None:
    model = job.model
    about = {
        "name": [model.name],
        "source": [model.source],
        "modality": [model.modality],
        "licence": [model.licence],
        "revision": [model.identity["revision"]],
        "blocks": [model.n_blocks],
        "width": [model.width],
    }
    # Only what determines this row: a model read with another input size or dtype is the same model.
    own = {"model:model": model.slug, "model:revision": model.identity["revision"]}
    identity = {**base("extract"), "name": model.name, **own}
    write_small(run, "models", identity, arrow("models", **about), model=model.slug)


def _describe_tokens(run: Run, job: Job) -> None:
    """Tables tokens and token_labels, a file of tokens a shard."""
    identity = job.model_identity()
    tokens = run.partition("tokens", identity, **job.keys)
    names = sorted((label.name for label in job.dataset.labels), key=str.encode)
    positives = Positives(names)
    for shard in job.shards():
        rows = []
        for i in range(len(shard.samples)):
            columns, labelled = _text_tokens(job, shard, i) if shard.texts else _patches(job, shard, i)
            positives.add(shard.samples[i], labelled)
            rows.append(columns)
        if not tokens.current and shard.number not in tokens.done:
            columns = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
            tokens.write(shard.number, [arrow("tokens", **columns)])
    write_token_labels(run, "extract", hash_of(identity), names, positives.frame(), **job.keys)


class Positives:
    """The tokens that carry each label, twelve bytes each until all are there: the table's identity names them all."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._codes = {name: code for code, name in enumerate(names)}
        self._rows: list[Array] = [np.empty((3, 0), np.int32)]

    def add(self, sample: int, labelled: dict[str, Array]) -> None:
        """Take label -> token indices of a sample."""
        for label, tokens in labelled.items():
            if len(tokens):
                rows = np.empty((3, len(tokens)), np.int32)
                rows[0], rows[1], rows[2] = sample, tokens, self._codes[label]
                self._rows.append(rows)

    def frame(self) -> pl.DataFrame:
        """All of them: sample, token, label."""
        sample, token, code = np.concatenate(self._rows, axis=1)
        return pl.DataFrame({"sample": sample, "token": token, "label": pl.Series(self._names, dtype=pl.String)[code]})


def _text_tokens(job: Job, shard: Shard, index: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """Rows of table tokens of one text, and its positives."""
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
    return columns, token_labels(tokens_to_words(*spans), job.dataset.word_labels(sample))


def _patches(job: Job, shard: Shard, index: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """Rows of table tokens of one image, and its positives: content patches with a pixel of the mask."""
    sample = shard.samples[index]
    rows, cols = job.geometry.grid
    row, col = np.divmod(np.arange(rows * cols, dtype=np.int32), np.int32(cols))
    columns = {
        "sample": np.full(rows * cols, sample, np.int32),
        "token": np.arange(rows * cols, dtype=np.int32),
        "row": row,
        "col": col,
        "is_content": shard.content[index],
    }
    masks = job.dataset.masks(sample)
    # Where one mask serves several labels, it is mapped once.
    mapped = {id(mask): job.geometry.patches(job.geometry.mask(mask)) for mask in masks.values()}
    return columns, {name: np.flatnonzero(mapped[id(mask)] & shard.content[index]) for name, mask in masks.items()}
