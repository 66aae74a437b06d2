"""Concept vectors: one module a learner. Each gives `Concept` records, whose `status` says why a vector is missing."""

from superact.concepts.avg import MeanPrototype
from superact.concepts.base import Concept, random_generator
from superact.concepts.linsep import fit, fit_many

__all__ = ["Concept", "MeanPrototype", "fit", "fit_many", "random_generator"]
