"""Sparse autoencoders: read from their published formats, or trained here; encoded in blocks, non-zeros only."""

from superact.concepts.sae.base import Sae
from superact.concepts.sae.load import load_sae
from superact.concepts.sae.saelens import save_saelens

__all__ = ["Sae", "load_sae", "save_saelens"]
