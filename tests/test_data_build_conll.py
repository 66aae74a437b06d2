"""WNUT-17 from its three CoNLL files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from build_sources import positives, real, table, tree
from typer.testing import CliRunner

from superact.cli.main import app
from superact.datasets import open_dataset
from superact.datasets.builders import build
from superact.datasets.builders.conll import LABELS, read_conll
from superact.errors import BadInput, BadTable

FILES = ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated")
FEW = (
    "wnut17train.conll has 2 sentences, and the shared task's 3,394",
    "emerging.dev.conll has 1 sentences, and the shared task's 1,009",
    "emerging.test.annotated has 1 sentences, and the shared task's 1,287",
)


def release(root: Path, **change: bytes) -> Path:
    """Four sentences in the three files; `change` replaces the content of train, dev or test."""
    root.mkdir()
    train = b'Empire\tB-location\nState\tI-location\n"=",\tO\nESB\tB-location\n.\tO\n\t\nno\tO\nname\tO\n\n'
    contents = {"train": train, "dev": b"Ann\tB-person\n\n", "test": b"at\tO\nACME\tB-corporation\n", **change}
    for name, content in zip(FILES, contents.values(), strict=True):
        (root / name).write_bytes(content)
    return root


def test_wnut17_real(tmp_path: Path) -> None:
    source = real("wnut17")
    done = build("wnut17", source, tmp_path / "WNUT-17")
    assert (done.rows, done.written, done.kept, done.notes) == (5690, 5693, 0, ())
    rows = table(done.path / "metadata.csv")
    assert list(rows[0]) == ["text_path", *LABELS, "split"]
    assert [row["split"] for row in rows] == ["train"] * 3394 + ["cal"] * 1009 + ["test"] * 1287
    # Sentences with at least one entity of the type, as awk counts them in the files.
    assert {label: positives(rows, label) for label in LABELS} == {
        "corporation": (194, 31, 63),
        "creative-work": (122, 98, 123),
        "group": (197, 37, 121),
        "location": (408, 61, 125),
        "person": (503, 374, 330),
        "product": (115, 95, 97),
    }
    dataset = open_dataset("WNUT-17", tmp_path)
    assert dataset.slug == "wnut-17"
    assert [label.source for label in dataset.labels] == ["word file"] * 6
    # Every word of the files, with its tag, in order: an oracle that knows nothing of the builder.
    sample = -1
    for name in FILES:
        sentences = (source / name).read_text(encoding="utf-8").replace("\n\t\n", "\n\n").strip("\n").split("\n\n")
        for sentence in sentences:
            sample += 1
            lines = [line.split("\t") for line in sentence.split("\n")]
            assert dataset.text(sample).split(" ") == [word.replace("\ufeff", "") for word, _ in lines]
            wanted: dict[str, list[int]] = {}
            for position, (_, tag) in enumerate(lines):
                if tag != "O":
                    wanted.setdefault(tag[2:], []).append(position)
            assert dataset.word_labels(sample) == wanted
    assert sample == 5689


def test_wnut17_small(tmp_path: Path) -> None:
    source = release(tmp_path / "in")
    done = build("wnut17", source, tmp_path / "WNUT-17", seed=7)
    assert (done.rows, done.notes) == (4, FEW)
    dataset = open_dataset("wnut-17", tmp_path)
    assert [dataset.text(k) for k in range(4)] == ['Empire State "=", ESB .', "no name", "Ann", "at ACME"]
    assert [dataset.word_labels(k) for k in range(4)] == [
        {"location": [0, 1, 3]},
        {},
        {"person": [0]},
        {"corporation": [1]},
    ]
    assert dataset.samples["split"].to_list() == ["train", "train", "cal", "test"]
    assert dataset.sample_labels.rows() == [(0, "location"), (2, "person"), (3, "corporation")]
    assert [label.name for label in dataset.labels if label.evaluated] == list(LABELS)
    recipe = json.loads((done.path / "build.json").read_text())
    assert "seed" not in recipe
    assert sorted(recipe["sources"]) == sorted(FILES)
    before = tree(done.path)
    again = build("wnut17", source, tmp_path / "WNUT-17")
    assert (again.written, again.kept, tree(done.path)) == (0, 7, before)


def test_line_ends_marks_and_blanks_change_nothing(tmp_path: Path) -> None:
    plain, other = release(tmp_path / "in"), release(tmp_path / "other")
    for name in FILES:
        content = (plain / name).read_bytes()
        (other / name).write_bytes(
            b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n").replace(b"\tB", b"  B") + b"\r\n\r\n"
        )
    build("wnut17", plain, tmp_path / "a")
    build("wnut17", other, tmp_path / "b")
    a, b = tree(tmp_path / "a"), tree(tmp_path / "b")
    assert a.pop("build.json") != b.pop("build.json")
    assert a == b


def test_an_i_that_continues_nothing_starts_an_entity(tmp_path: Path) -> None:
    # After O, after another type, at the start of a sentence; the last I-person goes on.
    train = b"a\tO\nb\tI-group\nc\tI-person\nd\tI-person\n\ne\tI-person\n"
    done = build("wnut17", release(tmp_path / "in", train=train), tmp_path / "out")
    assert done.notes == (
        "wnut17train.conll: 3 I- tags continue no entity of their type: each starts one",
        *FEW,
    )
    dataset = open_dataset(str(tmp_path / "out"), tmp_path)
    assert dataset.word_labels(0) == {"group": [1], "person": [2, 3]}
    assert dataset.word_labels(1) == {"person": [0]}


def test_a_word_may_hold_what_some_take_for_a_line_end(tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    # U+200B is no blank, and a mark inside a word is dropped, as a reader of the text file might.
    path.write_text("a\u200bb\tB-product\n\ufeffc\tO", encoding="utf-8")
    sentences, orphans = read_conll(path)
    assert [(one.words, one.types) for one in sentences] == [(("a\u200bb", "c"), ("product", None))]
    assert orphans == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a\tO\nalone\n", "row 1 (line 2), column 'word': the line has 1 column, not a word and a tag"),
        (b"EU NNP I-NP I-ORG\n", "row 0 (line 1), column 'word': the line has 4 columns"),
        (b"\tO\n", "column 'word': '' is not one word without blanks"),
        (b"New York\tB-location\n", "column 'word': 'New York' is not one word without blanks"),
        ("a\u2028b\tO\n".encode(), "column 'word': 'a\\u2028b' is not one word without blanks"),
        (b"\xef\xbb\xbf\xef\xbb\xbf\tO\n", "is not one word without blanks"),
        (b"a\tB-LOC\n", "column 'tag': 'B-LOC' is not O, nor B- or I- and one of corporation, creative-work, group,"),
        (b"a\tE-person\n", "'E-person' is not O"),
        (b"a\tB\n", "'B' is not O"),
        (b"a\tO-\n", "'O-' is not O"),
        (b"a\t\n", "'' is not O"),
        (b"a\tO\n\nb\to\n", "row 2 (line 3), column 'tag': 'o' is not O"),
    ],
)
def test_wrong_lines(tmp_path: Path, content: bytes, says: str) -> None:
    source = release(tmp_path / "in", dev=content)
    with pytest.raises(BadTable) as error:
        build("wnut17", source, tmp_path / "out")
    assert says in str(error.value)
    assert f"{source / 'emerging.dev.conll'}, row " in str(error.value)
    assert str(error.value).endswith("Get the file from github.com/leondz/emerging_entities_17.")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "There is no emerging.test.annotated in"),
        (b"", "has no sentences"),
        (b"\n\t\n \r\n", "has no sentences"),
        (b"caf\xe9\tO\n", "is not UTF-8 text (byte 3)"),
    ],
)
def test_wrong_files(tmp_path: Path, content: bytes | None, says: str) -> None:
    source = release(tmp_path / "in")
    (source / "emerging.test.annotated").unlink()
    if content is not None:
        (source / "emerging.test.annotated").write_bytes(content)
    with pytest.raises(BadInput) as error:
        build("wnut17", source, tmp_path / "out")
    assert says in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_the_command(tmp_path: Path) -> None:
    source = release(tmp_path / "in")
    arguments = ["data", "build", "wnut17", "--source", str(source), "--data-root", str(tmp_path)]
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.splitlines()[:3] == list(FEW)
    assert done.stderr.endswith("WNUT-17: 4 rows; 7 files written, 0 were there already\n")
    check = CliRunner().invoke(app, ["data", "check", "wnut-17", "--data-root", str(tmp_path), "--format", "csv"])
    assert check.exit_code == 0, check.output
    (source / "emerging.dev.conll").unlink()
    done = CliRunner().invoke(app, [*arguments, "--force"])
    assert (done.exit_code, done.stdout) == (3, "")
    assert "Get it from github.com/leondz/emerging_entities_17." in done.stderr
