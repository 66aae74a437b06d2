"""How the published code names models, datasets, layers and sets of concepts in its files."""

from __future__ import annotations

from collections.abc import Iterable

MODELS = {
    "openai/clip-vit-large-patch14": "CLIP",
    "meta-llama/llama-3.2-11b-vision-instruct": "Llama",
    "google/gemma-2-9b": "Gemma",
    "qwen/qwen3-embedding-4b": "Qwen",
}
"""Short name by hub id, in lower case."""

DATASETS = ("CLEVR", "Coco", "Broden-Pascal", "Broden-OpenSurfaces", "Sarcasm", "iSarcasm", "GoEmotions")

PERCENTS = {
    ("CLIP", "image"): (4, 25, 46, 67, 88, 100),
    ("Llama", "image"): (2, 15, 28, 40, 52, 65, 78, 90, 100),
    ("Llama", "text"): (3, 19, 34, 50, 66, 81, 97, 100),
    ("Qwen", "text"): (3, 19, 34, 50, 66, 81, 97, 100),
    ("Gemma", "text"): (4, 21, 39, 57, 75, 93, 100),
}
"""The published default layers, in percent through the model, by short name and modality."""

DETECTORS = {
    "max_token": "maxtoken",
    "mean_token": "meantoken",
    "last_token": "lasttoken",
    "random_token": "randomtoken",
}
"""The detectors that the published code calls baselines; superactivator and cls are its regular detection."""

REGULAR = {"token": "superactivator", "cls": "cls"}
SAMPLE_TYPES = {"token": "patch", "cls": "cls"}


def short_name(slug: str, name: str | None, source: str | None) -> str:
    """The published short name of one of the paper's models, else the slug.

    `source` says which model it is: `hub:` and a hub id, or a folder that is named after the hub's repository (in a hub
    cache, too). An import has no source of its own: there the display name may be the hub id or the short name.
    """
    given = (name or "") if source == "import" else (source or "").removeprefix("hub:")
    given = given.replace("\\", "/").lower()
    parts = given.split("/")
    for hub, short in MODELS.items():
        repository = hub.partition("/")[2]
        if given == hub or parts[-1] == repository or "models--" + hub.replace("/", "--") in parts:
            return short
        if source == "import" and given == short.lower():
            return short
    return slug


def folder_name(slug: str, name: str | None) -> str:
    """The name of a dataset's folders: the published spelling, else the display name, else (no file name) the slug."""
    name = name or slug
    spelt = {known.lower(): known for known in DATASETS}
    name = spelt.get(name.lower(), name)
    usable = name.isprintable() and not set(name) & set('/\\:*?"<>|') and name.strip(" .") == name
    return name if name and usable else slug


def layer_at(percent: int, blocks: int) -> int:
    """The layer at a percentage of T blocks: clamp(floor(p / 100 * T) - 1, 0, T - 1) + 1, in whole numbers."""
    return min(max(percent * blocks // 100 - 1, 0), blocks - 1) + 1


def percent_of(layer: int, blocks: int | None, listed: Iterable[int] = ()) -> int:
    """The `percentthrumodel` of a layer, from which `layer_at` leads back to it.

    The first of the published percentages that does; else 100 * layer / T rounded; else rounded up, which always does up to
    100 blocks. 0 for layer 0, the embedding output, which the published code has not; the layer itself where T is unknown.
    """
    if blocks is None or layer == 0:
        return layer
    up = -(-100 * layer // blocks)
    candidates = (*listed, (200 * layer + blocks) // (2 * blocks), up)
    return next((percent for percent in candidates if layer_at(percent, blocks) == layer), up)


def stem_of(model: str, method: str, concept_set: str, unit: str, k: int | None) -> str:
    """`con_label` without the layer. A set of another method than the published ones is named by its slug."""
    kind = SAMPLE_TYPES[unit]
    patterns = {
        "avg": f"{model}_avg_{kind}_embeddings",
        "linsep": f"{model}_linsep_{kind}_embeddings_BD_True_BN_False",
        "kmeans": f"{model}_kmeans_{k}_{kind}_embeddings_kmeans",
        "kmeans-linsep": f"{model}_kmeans_{k}_linsep_{kind}_embeddings_kmeans",
        "sae": f"{model}_sae_{kind}_dense",
    }
    return patterns.get(method, f"{model}_{concept_set}_{kind}_embeddings")


def con_label(stem: str, method: str, percent: int) -> str:
    """`con_label`: the published name of one concept set at one layer. Published SAE files name no layer."""
    return stem if method == "sae" else f"{stem}_percentthrumodel_{percent}"
