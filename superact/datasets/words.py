"""Words of a text and the tokens that belong to them (reference section 1.6).

Words are the maximal runs of non-blank characters, `\\S+`; spans are character offsets [start, end).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

_WORD = re.compile(r"\S+")


def word_spans(text: str) -> list[tuple[int, int]]:
    """Return the [start, end) character spans of the words of a text, in order."""
    return [match.span() for match in _WORD.finditer(text)]


def tokens_to_words(char_start: np.ndarray, char_end: np.ndarray, is_content: np.ndarray, text: str) -> list[list[int]]:
    """Return, for each token, the ascending positions of the words it belongs to.

    `char_start`, `char_end` (int) and `is_content` (bool) have shape [tokens]. A token belongs to every word it
    overlaps (end > word start and start < word end). A content token that overlaps none (a newline, say) goes to the
    first word of the nearest matched token before it, else to the first word of the text. Special tokens
    (`is_content` false) belong to no word and are nobody's neighbour.
    """
    first, stop = _word_ranges(char_start, char_end, is_content, text)
    return [list(range(a, b)) for a, b in zip(first.tolist(), stop.tolist(), strict=True)]


def first_word(char_start: np.ndarray, char_end: np.ndarray, is_content: np.ndarray, text: str) -> np.ndarray:
    """Return int32 [tokens]: the first word of each token by the rule of `tokens_to_words`, -1 where it has none."""
    first, stop = _word_ranges(char_start, char_end, is_content, text)
    return np.where(stop > first, first, -1).astype(np.int32)


def token_labels(
    words_of_tokens: Sequence[Sequence[int]], word_labels: Mapping[str, Sequence[int]]
) -> dict[str, np.ndarray]:
    """Return label -> int32 indices of the tokens that belong to one of its words: a set, ascending.

    `words_of_tokens` is what `tokens_to_words` returns, `word_labels` maps a label to word positions. A label whose
    words have no token keeps an empty array.
    """
    counts = [len(words) for words in words_of_tokens]
    token = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    word = np.fromiter((w for words in words_of_tokens for w in words), dtype=np.int64, count=len(token))
    return {label: np.unique(token[np.isin(word, np.asarray(words, int))]) for label, words in word_labels.items()}


def _word_ranges(
    char_start: np.ndarray, char_end: np.ndarray, is_content: np.ndarray, text: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return int64 [tokens] `first`, `stop`: each token belongs to the words first <= w < stop (none: first = stop)."""
    spans = np.array(word_spans(text), dtype=np.int64).reshape(-1, 2)
    content = np.asarray(is_content, dtype=bool)
    # Words are sorted and disjoint, so those that overlap a token are a range: from the first one that ends after the
    # token's start to the last one that starts before the token's end.
    first = np.searchsorted(spans[:, 1], np.asarray(char_start), side="right")
    stop = np.searchsorted(spans[:, 0], np.asarray(char_end), side="left")
    matched = content & (stop > first)
    # The published second pass runs token by token and lets its own assignments serve later tokens; as it copies the
    # first word only, that is a forward fill of the first word.
    previous = np.maximum.accumulate(np.where(matched, np.arange(len(first)), -1))
    inherited = np.where(previous >= 0, first[np.maximum(previous, 0)], 0) if len(first) else first
    belongs = content & (len(spans) > 0)
    first = np.where(matched, first, inherited)
    stop = np.where(matched, stop, first + belongs)
    return first, np.where(belongs, stop, first)
