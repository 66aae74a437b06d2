"""How rows are cut into files."""

from __future__ import annotations

MOST_TOKENS = 128 * 1024
FEWEST_TOKENS = 16 * 1024
BLOCK_BYTES = 256 << 20
SCORE_BYTES = 8  # cosine and signed distance, float32


def shard_tokens(n_concepts: int) -> int:
    """Tokens a file of `activations`, where `n_concepts` score columns are buffered at a time.

    min(128k, 256 MB / (8 B x concepts)), never under 16k: the producer is token-major and the file concept-major, so that one
    block of [concepts, tokens] is held for each score.
    """
    return max(FEWEST_TOKENS, min(MOST_TOKENS, BLOCK_BYTES // (SCORE_BYTES * max(1, n_concepts))))


def ranges(n: int, size: int) -> list[tuple[int, int]]:
    """Cut range(n) into [start, stop) pieces of at most `size`; one empty piece for n = 0."""
    return [(start, min(start + size, n)) for start in range(0, n, size)] or [(0, 0)]
