"""Words, and the tokens that belong to them: the published two passes, against a token-by-token oracle."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from superact.datasets.words import first_word, token_labels, tokens_to_words, word_spans


def assign(spans: list[tuple[int, int]], text: str, content: list[bool] | None = None) -> list[list[int]]:
    start, end = np.array(spans, int).reshape(-1, 2).T
    return tokens_to_words(start, end, np.array([True] * len(spans) if content is None else content, bool), text)


def test_word_spans() -> None:
    assert word_spans(" ab\n\ncd,  e\u00a0f") == [(1, 3), (5, 8), (10, 11), (12, 13)]
    assert word_spans(" \n") == []


def test_newline_token_goes_to_the_word_before() -> None:
    # Reference 01, section 6, check 5.
    assert assign([(0, 2), (2, 4), (4, 6)], "ab\n\ncd") == [[0], [0], [1]]


def test_leading_blank_token_goes_to_the_first_word() -> None:
    assert assign([(0, 2), (2, 3), (4, 5)], "\n\na b") == [[0], [0], [1]]


def test_token_across_words_belongs_to_both_and_the_next_blank_to_its_first() -> None:
    assert assign([(0, 4), (4, 5), (5, 6)], "a bc d") == [[0, 1], [0], [2]]


def test_leading_space_and_subword_tokens() -> None:
    assert assign([(0, 2), (2, 4), (4, 9)], "real ists") == [[0], [0], [1]]


def test_special_tokens_belong_to_no_word() -> None:
    spans = [(0, 0), (0, 1), (1, 2), (0, 2), (0, 0)]
    assert assign(spans, "a\n", [False, True, True, False, False]) == [[], [0], [0], [], []]


def test_text_without_words_and_no_tokens() -> None:
    assert assign([(0, 1), (1, 2)], " \n") == [[], []]
    assert assign([], "a b") == []


def oracle(spans: list[tuple[int, int]], content: list[bool], text: str) -> list[list[int]]:
    words, found = word_spans(text), []
    for (start, end), inside in zip(spans, content, strict=True):
        found.append([w for w, (a, b) in enumerate(words) if inside and end > a and start < b])
    for token, inside in enumerate(content):
        if inside and not found[token] and words:
            previous = [found[t] for t in range(token) if found[t]]
            found[token] = [previous[-1][0] if previous else 0]
    return found


@settings(max_examples=300)
@given(st.data())
def test_same_as_the_two_passes(data: st.DataObject) -> None:
    text = data.draw(st.text(alphabet="ab \n", max_size=12))
    positions = st.integers(0, len(text))
    spans = sorted(
        tuple(sorted(data.draw(st.tuples(positions, positions)))) for _ in range(data.draw(st.integers(0, 8)))
    )
    content = data.draw(st.lists(st.booleans(), min_size=len(spans), max_size=len(spans)))
    expected = oracle(spans, content, text)
    assert assign(spans, text, content) == expected
    start, end = np.array(spans, int).reshape(-1, 2).T
    first = first_word(start, end, np.array(content, bool), text)
    assert first.dtype == np.int32
    assert first.tolist() == [words[0] if words else -1 for words in expected]


def test_token_labels_are_a_set() -> None:
    found = token_labels([[0], [0, 1], [1], [], [2]], {"x": [0, 1], "y": [2], "none": [7], "empty": []})
    assert {label: tokens.tolist() for label, tokens in found.items()} == {
        "x": [0, 1, 2],
        "y": [4],
        "none": [],
        "empty": [],
    }
    assert token_labels([], {"x": [0]})["x"].tolist() == []


def fast_tokenizers() -> list[Tokenizer]:
    """One of each kind of alignment: bytes of characters, blanks inside tokens, whole words, pieces of words, across words."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    byte_level = Tokenizer(models.BPE({character: number for number, character in enumerate(sorted(alphabet))}, []))
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pairs = [("a", "b"), ("\u0120", "ab"), ("\u0120", "a")]
    known = sorted({*alphabet, *(left + right for left, right in pairs)})
    merged = Tokenizer(models.BPE({piece: number for number, piece in enumerate(known)}, pairs))
    merged.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "ab": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    pieces = {"[UNK]": 0, **{f"{mark}{letter}": k for k, (mark, letter) in enumerate(product(("", "##"), "ab,"), 1)}}
    wordpiece = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    wordpiece.normalizer = normalizers.BertNormalizer()
    wordpiece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    across = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    across.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]{3}"), "isolated")
    return [byte_level, merged, words, wordpiece, across]


TOKENIZERS = fast_tokenizers()


@pytest.mark.parametrize("number", range(len(TOKENIZERS)))
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_labels_of_the_tokens_of_a_fast_tokenizer(number: int, data: st.DataObject) -> None:
    """By character offsets, words of any script: a token has a label iff it holds a character of one of its words; one that
    holds blanks only has those of the word before it (of the first word, at the beginning)."""
    text = data.draw(st.text(alphabet="aab, \n\t\u00a0\u00e9\u2602\U0001f600\u65e5", max_size=20))
    spans = word_spans(text)
    labelled = data.draw(st.sets(st.integers(0, len(spans) - 1))) if spans else set()
    offsets = TOKENIZERS[number].encode(text).offsets
    start, end = np.array(offsets, int).reshape(-1, 2).T
    words_of = tokens_to_words(start, end, np.ones(len(offsets), bool), text)
    found = token_labels(words_of, {"x": sorted(labelled)})["x"].tolist()
    assert found == sorted(set(found))
    word_at = {at: word for word, (a, b) in enumerate(spans) for at in range(a, b)}
    expected, first_before = [], 0
    for token, (a, b) in enumerate(offsets):
        held = sorted({word_at[at] for at in range(a, b) if at in word_at})
        first_before = held[0] if held else first_before
        if labelled.intersection(held or ([first_before] if spans else [])):
            expected.append(token)
    assert found == expected
