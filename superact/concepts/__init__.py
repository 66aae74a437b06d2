"""Concept vectors: one module a learner. Each gives `Concept` records, whose `status` says why a vector is missing."""

from superact.concepts.avg import MeanPrototype
from superact.concepts.base import Concept, random_generator
from superact.concepts.kmeans import Clusters, centre_concepts, cluster, separator_concepts
from superact.concepts.linsep import fit, fit_many

__all__ = [
    "Clusters",
    "Concept",
    "MeanPrototype",
    "centre_concepts",
    "cluster",
    "fit",
    "fit_many",
    "random_generator",
    "separator_concepts",
]
