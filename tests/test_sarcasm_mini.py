"""The text set that ships with the project is what its README says it is."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from superact.datasets import Dataset, open_dataset

ROOT = Path(__file__).parents[1] / "Data"


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return open_dataset("Sarcasm-Mini", ROOT)


def test_sizes_and_splits(dataset: Dataset) -> None:
    carried = set(dataset.sample_labels["sample"])
    split = dataset.samples["split"].to_list()
    assert Counter(split) == {"train": 200, "cal": 67, "test": 69}
    assert Counter(split[sample] for sample in carried) == {"train": 99, "cal": 31, "test": 38}
    u = np.random.RandomState(42).rand(len(split))  # the published rule
    assert split == ["train" if x < 0.6 else "test" if x < 0.8 else "cal" for x in u]


def test_spans_are_marked_word_by_word_and_never_everywhere(dataset: Dataset) -> None:
    carried = set(dataset.sample_labels["sample"])
    for sample in range(len(dataset.samples)):
        words = dataset.text(sample).split()
        marked = dataset.word_labels(sample).get("sarcasm", [])
        assert bool(marked) == (sample in carried)
        assert len(marked) < len(words)


def test_no_sentence_occurs_twice(dataset: Dataset) -> None:
    sentences = Counter(
        re.sub(r"\W+", " ", sentence.lower()).strip()
        for sample in range(len(dataset.samples))
        for sentence in re.split(r"(?<=[.!?])\s+", dataset.text(sample))
    )
    assert len(sentences) > 1200
    assert [sentence for sentence, n in sentences.items() if n > 1 and sentence] == []


def test_a_bag_of_words_does_not_find_it(dataset: Dataset) -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    texts = np.array([dataset.text(sample) for sample in range(len(dataset.samples))])
    truth = np.isin(np.arange(len(texts)), dataset.sample_labels["sample"].to_numpy())
    split = dataset.samples["split"].to_numpy()
    train, test = split == "train", split == "test"
    words = CountVectorizer()
    model = LogisticRegression(max_iter=1000).fit(words.fit_transform(texts[train]), truth[train])
    found = f1_score(truth[test], model.predict(words.transform(texts[test])))
    assert found < 0.9
    assert round(found, 2) == 0.61  # the figure in Data/Sarcasm-Mini/README.md
