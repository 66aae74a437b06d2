"""The small tables that answers refer to: those of the dataset, and the row of the answering model."""

from __future__ import annotations

from superact.datasets.base import Dataset
from superact.errors import BadInput
from superact.ingest.describe import arrow, write_small
from superact.ingest.describe_dataset import describe_dataset, image_sizes, samples_identity, splits_digest
from superact.ingest.identity import base
from superact.prompts.backends.base import Answering
from superact.store import Run, Warehouse
from superact.store.identity import Identity


def describe(warehouse: Warehouse, dataset: Dataset, model: Answering) -> Identity:
    """Publish tables datasets, samples, labels, sample_labels and models as far as they are not there.

    Returns the identity of the samples: digests of their sources and splits. Errors: IdentityMismatch where the dataset is
    published from other files, BadInput where another model has the answering model's slug.
    """
    identity = samples_identity(dataset.source_digest(), splits_digest(dataset))
    published = warehouse.state().get("samples", dataset=dataset.slug)
    samples = dataset.samples["sample"].to_list()
    current = published is not None and published.identity == identity
    sizes = {} if dataset.modality == "text" or current else image_sizes(dataset, samples)
    # A run of its own, which replaces nothing: --replace is about the answers.
    with warehouse.run("prompt") as run:
        describe_dataset(run, dataset, identity, samples, sizes)
        _describe_model(run, dataset.modality, model)
        run.publish()
    return identity


def _describe_model(run: Run, modality: str, model: Answering) -> None:
    """The row of the answering model; one that was extracted before has its row already."""
    identity = {**base("extract"), "name": model.name, "model:model": model.slug, "model:revision": model.revision}
    if model.revision is None:
        identity["model:source"] = model.source
    published = run.state.get("models", model=model.slug)
    if published is not None and published.identity != identity:
        raise BadInput(
            what=f"The warehouse has another model under the name {model.slug}.",
            remedy="Give the answering model a name of its own with --name.",
        )
    about = {
        "name": [model.name],
        "source": [model.source],
        "modality": [modality],
        "licence": [model.licence],
        "revision": [model.revision],
        "blocks": [model.blocks],
        "width": [model.width],
    }
    write_small(run, "models", identity, arrow("models", **about), model=model.slug)
