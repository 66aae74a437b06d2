"""GoEmotions, iSarcasm and Sarcasm from their public files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from build_sources import ROOT, positives, real, table, tree

from superact.datasets import open_dataset
from superact.datasets.builders import build
from superact.datasets.published import published
from superact.datasets.splits import three_way_split
from superact.errors import BadInput, BadTable, WordMismatch

NAMES = """
admiration amusement anger annoyance approval caring confusion curiosity desire disappointment disapproval disgust
embarrassment excitement fear gratitude grief joy love nervousness optimism pride realization relief remorse sadness
surprise neutral
"""


def emotions(root: Path) -> Path:
    root.mkdir()
    (root / "labels.txt").write_text("\n".join(NAMES.split()))
    (root / "test.tsv").write_text('so  glad "here", ok\t17,18\ta\nplain\t27\tb\nwanting\t8\tc\n')
    (root / "dev.tsv").write_text("one thing\t27\td\nangry\t2\te\nplain\t27\tf\ntwo\t27\tg\nnot this\t0,27\th\n")
    return root


def test_goemotions_real(tmp_path: Path) -> None:
    source = real("goemotions", "data", "original")
    done = build("goemotions", source, tmp_path / "GoEmotions")
    assert (done.rows, done.written, done.kept, done.notes) == (5427, 5430, 0, ())
    rows = table(done.path / "metadata.csv")
    known = published("GoEmotions")
    wanted = {**known.positives, **known.dropped}
    assert list(rows[0]) == ["text_path", *sorted(wanted), "split"]
    assert {label: positives(rows, label) for label in wanted} == wanted
    assert [row["split"] for row in rows] == known.splits()
    assert rows[5426]["text_path"] == "paragraphs/paragraph_005427.txt"
    dataset = open_dataset("GoEmotions", tmp_path)
    comments = [line.split("\t") for line in (source / "test.tsv").read_text(encoding="utf-8").splitlines()]
    for sample in (1, 2, 700, 5426):
        text = dataset.text(sample)
        comment = comments[sample][0].strip()
        assert f" {comment} " in text
        before = len(text[: text.index(f" {comment} ")].split())
        span = list(range(before, before + len(comment.split())))
        for label, words in dataset.word_labels(sample).items():
            assert words == span, label
        assert set(dataset.word_labels(sample)) == {
            name for number in comments[sample][1].split(",") if (name := NAMES.split()[int(number)]) in wanted
        }


def test_goemotions_small(tmp_path: Path) -> None:
    done = build("goemotions", emotions(tmp_path / "in"), tmp_path / "GoEmotions")
    assert done.notes == (
        "test.tsv has 3 comments, and the published data 5,427",
        "there are 2 neutral comments for 6 places: some are used more than once",
    )
    dataset = open_dataset("GoEmotions", tmp_path)
    assert dataset.samples["split"].to_list() == three_way_split(3)
    # Neutral alone is filler, and a comment that is a row itself is not.
    for sample, comment in enumerate(['so  glad "here", ok', "plain", "wanting"]):
        before, after = dataset.text(sample).split(comment)
        assert {before.strip(), after.strip()} == {"one thing", "two"}
    n = len(dataset.text(0).split("so")[0].split())
    assert dataset.word_labels(0) == {"joy": [n, n + 1, n + 2, n + 3], "love": [n, n + 1, n + 2, n + 3]}
    assert dataset.word_labels(1) == dataset.word_labels(2) == {}  # desire is no column
    words = table(done.path / "word_level_emotion.csv")
    assert [w["sentence_id"] for w in words if w["word"] == '"here",'] == ["2"]
    note = json.loads((done.path / "build.json").read_text())
    assert (note["seed"], sorted(note["sources"])) == (0, ["dev.tsv", "labels.txt", "test.tsv"])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("test.tsv", None, "There is no test.tsv in"),
        ("labels.txt", None, "There is no labels.txt in"),
        ("dev.tsv", None, "its neutral comments are the filler"),
        ("labels.txt", b"joy\n", "has no line 'admiration'"),
        ("test.tsv", b"two fields\t3\n", "row 0 (line 1), column 'text': the line has 2 fields"),
        ("test.tsv", b"a\t3\tx\nb\t28\ty\n", "row 1 (line 2), column 'text': '28' are no numbers of the 28 labels"),
        ("test.tsv", b"a\t-1\tx\n", "'-1' are no numbers"),
        ("test.tsv", b" \t1\tx\n", "the text is blank"),
        ("test.tsv", b"\xff\t1\tx\n", "is not UTF-8 text (byte 0)"),
        ("dev.tsv", b"a\t1\tx\n", "has no neutral comment"),
    ],
)
def test_goemotions_wrong_sources(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    source = emotions(tmp_path / "in")
    (source / name).unlink()
    if content is not None:
        (source / name).write_bytes(content)
    with pytest.raises(BadInput) as error:
        build("goemotions", source, tmp_path / "out")
    assert says in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_isarcasm_real(tmp_path: Path) -> None:
    source = real("isarcasmeval")
    done = build("isarcasm", source, tmp_path / "iSarcasm")
    assert (done.rows, done.notes) == (1734, ())
    rows = table(done.path / "metadata.csv")
    known = published("iSarcasm")
    wanted = {**known.positives, **known.dropped}
    assert {label: positives(rows, label) for label in wanted} == wanted
    assert [row["split"] for row in rows] == known.splits()
    assert [row["sarcastic"] for row in rows] == ["1", "0"] * 867
    tweets = [row for row in table(source / "train" / "train.En.csv") if row["sarcastic"] == "1"]
    dataset = open_dataset("iSarcasm", tmp_path)
    for k in (0, 1, 500, 866):
        tweet, plain = (" ".join(tweets[k][column].split()) for column in ("tweet", "rephrase"))
        texts = [" ".join(dataset.text(sample).split()) for sample in (2 * k, 2 * k + 1)]
        # Both stand in the same filler.
        assert f" {tweet} " in texts[0]
        assert texts[0].replace(f" {tweet} ", f" {plain} ") == texts[1]
        before = len(texts[0][: texts[0].index(f" {tweet} ")].split())
        assert dataset.word_labels(2 * k)["sarcastic"] == list(range(before, before + len(tweet.split())))
        assert dataset.word_labels(2 * k + 1) == {}


def tweets(root: Path, **change: str) -> Path:
    root.mkdir()
    kinds = dict.fromkeys(("sarcasm", "irony", "satire", "understatement", "overstatement", "rhetorical_question"), "0")
    rows = [
        {"": "0", "tweet": "oh,\nwow", "sarcastic": "1", "rephrase": "bad", **kinds, "irony": "1"},
        {"": "1", "tweet": "lovely", "sarcastic": "1", "rephrase": "awful day", **kinds, "sarcasm": "1", **change},
        *({"": "2", "tweet": text, "sarcastic": "0"} for text in ("tea", "", "rain today", "tea", "bus", "cat")),
    ]
    with (root / "train.En.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def test_isarcasm_negatives_of_plain_tweets(tmp_path: Path) -> None:
    source = tweets(tmp_path / "in")
    build("isarcasm", source, tmp_path / "a", negatives="tweets")
    sentences = [set(), set(), set()]
    for row in table(tmp_path / "a" / "word_level_sarcasm.csv"):
        sentences[int(row["sentence_id"]) - 1].add((row["paragraph_id"], row["word"]))
    plain = {"tea", "rain", "today", "bus", "cat"}
    negatives = {word for paragraph, word in sentences[1] if paragraph in "24"}
    assert negatives < plain
    assert {word for one in (sentences[0], sentences[2]) for _, word in one} == plain - negatives
    with pytest.raises(BadInput, match="There are no negatives 'all'"):
        build("isarcasm", source, tmp_path / "b", negatives="all")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sarcastic": "yes"}, "row 1, column 'sarcastic': the value is 'yes', not 0 or 1"),
        ({"irony": ""}, "row 1, column 'irony': the value is '', not 0 or 1"),
        ({"rephrase": " "}, "row 1, column 'rephrase': the text is blank"),
        ({"tweet": ""}, "row 1, column 'tweet': the text is blank"),
    ],
)
def test_isarcasm_wrong_rows(tmp_path: Path, change: dict[str, str], says: str) -> None:
    with pytest.raises(BadTable) as error:
        build("isarcasm", tweets(tmp_path / "in", **change), tmp_path / "out")
    assert says in str(error.value)
    assert not (tmp_path / "out").exists()


def test_sarcasm_from_its_own_files(tmp_path: Path) -> None:
    source = ROOT / "Data" / "Sarcasm-Mini"
    done = build("sarcasm", source, tmp_path / "Sarcasm")
    ours = tree(done.path)
    assert {name: ours[name] for name in ours if name != "build.json"} == {
        name: content for name, content in tree(source).items() if name not in ("README.md", "LICENSE")
    }


def test_sarcasm_from_a_word_file_alone(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "word_level_x.csv").write_text('paragraph_id,word,sarcasm\n1,oh,1\n1,"""great""",1\n2,yes,0\n1,now,0\n')
    build("sarcasm", source, tmp_path / "out")
    dataset = open_dataset(str(tmp_path / "out"), tmp_path)
    assert [dataset.text(0), dataset.text(1)] == ['oh "great" now', "yes"]
    assert dataset.word_labels(0) == {"sarcasm": [0, 1]}
    assert dataset.sample_labels.rows() == [(0, "sarcasm")]
    (source / "paragraphs").mkdir()
    (source / "paragraphs" / "paragraph_000002.txt").write_text("yes indeed")
    with pytest.raises(WordMismatch, match=r"word 2 is\s+'\(end of list\)' in the list and 'indeed' in the text"):
        build("sarcasm", source, tmp_path / "other")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "There is no word_level_"),
        ("paragraph_id,word,sarcasm\n1,a,0\n3,b,1\n", "has no paragraph 2"),
        ("paragraph_id,word,sarcasm\n1,a,maybe\n", "the value is 'maybe'"),
        ("number,word,sarcasm\n1,a,1\n", "has no column 'paragraph_id'"),
    ],
)
def test_sarcasm_wrong_word_files(tmp_path: Path, content: str | None, says: str) -> None:
    (tmp_path / "in").mkdir()
    if content is not None:
        (tmp_path / "in" / "word_level_sarcasm.csv").write_text(content)
    with pytest.raises(BadInput) as error:
        build("sarcasm", tmp_path / "in", tmp_path / "out")
    assert says in str(error.value)
    assert not (tmp_path / "out").exists()
