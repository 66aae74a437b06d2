"""The tables that say what a dataset is, whatever model looks at it: datasets, samples, labels, sample_labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from superact.datasets.base import Dataset
from superact.ingest.describe import arrow, write_labels, write_small
from superact.ingest.identity import base, by_label
from superact.store import Run
from superact.store.identity import Identity, split_column_digest

SAMPLES_PER_FILE = 16 * 1024

Sizes = Mapping[int, tuple[int, int]]
"""(width, height) by sample."""


def samples_identity(sources: str, splits: str) -> Identity:
    """What determines the samples table: digests of the sources and of the split column."""
    return {**base("extract"), "sources": sources, "splits": splits}


def splits_digest(dataset: Dataset) -> str:
    """Digest of the split column."""
    return split_column_digest(dataset.samples["split"])


def image_sizes(dataset: Dataset, samples: Sequence[int]) -> dict[int, tuple[int, int]]:
    """(width, height) of the images of samples. Errors: UnreadableFile."""
    found = {}
    for sample in samples:
        with dataset.open_image(sample) as image:
            found[sample] = image.size
    return found


def describe_dataset(run: Run, dataset: Dataset, identity: Identity, samples: Sequence[int], sizes: Sizes) -> None:
    """Write tables datasets, samples, labels and sample_labels, unless they are there.

    `identity` is that of the samples table, `samples` those to list, `sizes` of the images among them (empty for texts).
    """
    # Another dataset whose display name has the same slug is refused by its name.
    labelled = {**identity, "name": dataset.name, **by_label({label.name: label.source for label in dataset.labels})}
    facts = {
        "name": [dataset.name],
        "source": [dataset.root.name],
        "modality": [dataset.modality],
        "licence": [dataset.licence],
        "digest": [dataset.digest()],
    }
    write_small(run, "datasets", labelled, arrow("datasets", **facts), dataset=dataset.slug)
    staged = run.partition("samples", identity, dataset=dataset.slug)
    for number, start in enumerate(range(0, len(samples), SAMPLES_PER_FILE)):
        if not staged.current and number not in staged.done:
            staged.write(number, [_samples(dataset, samples[start : start + SAMPLES_PER_FILE], sizes)])
    labels = pl.DataFrame(
        {
            "label": [label.name for label in dataset.labels],
            "source": [label.source for label in dataset.labels],
            "evaluated": [label.evaluated for label in dataset.labels],
        }
    )
    write_labels(run, "extract", dataset.slug, labels, dataset.sample_labels)


def _samples(dataset: Dataset, chosen: Sequence[int], sizes: Sizes) -> pa.Table:
    rows = dataset.samples[list(chosen)]
    columns: dict[str, Any] = {
        "sample": rows["sample"].to_numpy(),
        "path": rows["path"].to_list(),
        "split": rows["split"].to_list(),
        "modality": [dataset.modality] * len(rows),
    }
    if dataset.modality == "text":
        columns["text"] = [dataset.text(sample) for sample in chosen]
    else:
        columns["width"] = [sizes[sample][0] for sample in chosen]
        columns["height"] = [sizes[sample][1] for sample in chosen]
    return arrow("samples", **columns)
