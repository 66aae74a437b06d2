"""Text figures: how texts are cut, escaped, coloured and set in lines, against plain SQL and texts made by hand."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest
from compare_worlds import PROTOCOL, a_world
from hypothesis import given
from hypothesis import strategies as st
from metrics_tables import publish_world
from sample_worlds import EVIL, WORDS, text_world

from superact.errors import BadInput
from superact.figures import save, text_concepts, top_tokens
from superact.figures.colours import (
    DIVERGING,
    DIVERGING_DARK,
    STEPS,
    colour_of,
    contrast,
    ink_on,
    luminance,
    step_of,
)
from superact.figures.html import TextFigure, passage_html, style
from superact.figures.layout import cells_of, lines_of, visible
from superact.figures.passages import NO_TEXT, Passage, Piece, comparison, number, pieces_of
from superact.figures.texts import around
from superact.metrics.evaluate import evaluate
from superact.query import Session
from superact.store import Warehouse

SCHEMA = {
    "token": pl.Int32,
    "text": pl.String,
    "char_start": pl.Int32,
    "char_end": pl.Int32,
    "score": pl.Float32,
    "in_concept": pl.Boolean,
    "superactivator": pl.Boolean,
}


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The evaluated world of texts; tests only read it."""
    root = tmp_path_factory.mktemp("notes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(root / "cache"))
        text_world(root)
        yield Session(Warehouse(root / "wh"))


def cut(text: str | None, *tokens: tuple[Any, ...]) -> tuple[Piece, ...]:
    """The pieces of a text with tokens (text, char_start, char_end), whose scores are their numbers."""
    rows = [(i, *token, float(i), i == 1, i > 1) for i, token in enumerate(tokens)]
    return pieces_of(text, pl.DataFrame(rows, schema=SCHEMA, orient="row"))


def shapes(pieces: tuple[Piece, ...]) -> list[tuple[str, tuple[int, ...]]]:
    return [(piece.text, piece.tokens) for piece in pieces]


def test_a_text_is_cut_where_its_tokens_are_and_nothing_of_it_is_lost() -> None:
    pieces = cut("a  good dog!", ("a", 0, 1), ("  good", 1, 7), (" dog", 7, 11))
    assert shapes(pieces) == [("a", (0,)), ("  ", ()), ("good", (1,)), (" ", ()), ("dog", (2,)), ("!", ())]
    assert [(p.score, p.in_concept, p.superactivator) for p in pieces if p.tokens] == [
        (0.0, False, False),
        (1.0, True, False),
        (2.0, False, True),
    ]


def test_the_bytes_of_one_character_are_one_piece() -> None:
    pieces = cut("x 🙂!", ("x", 0, 1), ("\ufffd", 1, 3), ("\ufffd", 2, 3), ("\ufffd", 2, 3), ("!", 3, 4))
    assert shapes(pieces) == [("x", (0,)), (" ", ()), ("🙂", (1, 2, 3)), ("!", (4,))]
    assert (pieces[2].score, pieces[2].in_concept, pieces[2].superactivator) == (3.0, True, True)
    assert pieces[2].says == "tokens 1 to 3: score 3.00, superactivator, in concept"


def test_tokens_that_overlap_share_no_character_twice() -> None:
    assert shapes(cut("abcd", ("abc", 0, 3), ("bcd", 1, 4))) == [("abc", (0,)), ("d", (1,))]


def test_white_space_that_is_a_token_is_made_visible() -> None:
    pieces = cut("a \n\t b", ("a", 0, 1), (" ", 1, 2), ("\n", 2, 3), ("\t ", 3, 5), ("b", 5, 6))
    assert [piece.text for piece in pieces] == ["a", "␣", "↵\n", "⇥␣", "b"]


def test_without_a_text_or_places_the_texts_of_tokens_stand_one_after_the_other() -> None:
    assert shapes(cut(None, ("good", None, None), ("dog", None, None))) == [
        ("good", (0,)),
        (" ", ()),
        ("dog", (1,)),
        (" ", ()),
    ]
    assert shapes(cut("good dog", ("good", 0, 4), ("dog", None, None)))[2] == ("dog", (1,))


def test_control_characters_are_shown_as_escapes_and_letters_of_every_script_stay() -> None:
    text = "a\x1b[31m\x00\x07\u202e\ud800é日本\u00a0\u3000👩\u200d🚀\n\tz\ufffe"
    assert visible(text) == "a\\x1b[31m\\x00\\x07\\u202e\\ud800é日本\u00a0\u3000👩\u200d🚀\n\tz\\ufffe"
    assert visible("one\r\ntwo\u2028three") == "one\ntwo\nthree"


def test_widths_are_those_of_a_terminal() -> None:
    assert [cells_of(text) for text in ("abc", "日本", "e\u0301", "ｱ", "", "a\u200db")] == [3, 4, 1, 1, 0, 2]


def test_lines_break_at_white_space_and_keep_the_rest_of_it() -> None:
    lines = lines_of([Piece("the quick  brown", (0,)), Piece(" "), Piece("fox", (1,))], 10)
    assert [[(run.text, run.column) for run in line] for line in lines] == [
        [("the", 0), ("quick", 4)],
        [("brown", 0), ("fox", 6)],
    ]


def test_tokens_of_one_word_stay_together_and_a_word_longer_than_a_line_is_cut() -> None:
    lines = lines_of([Piece("to "), Piece("un", (0,)), Piece("believ", (1,)), Piece("able", (2,))], 12)
    assert [[run.text for run in line] for line in lines] == [["to"], ["un", "believ", "able"]]
    lines = lines_of([Piece("abcdefghij", (0,))], 4)
    assert [[run.text for run in line] for line in lines] == [["abcd"], ["efgh"], ["ij"]]
    lines = lines_of([Piece("日本語", (0,))], 5)
    assert [[(run.text, run.cells) for run in line] for line in lines] == [[("日本", 4)], [("語", 2)]]


def test_line_ends_of_a_text_are_kept_and_those_at_its_end_are_not() -> None:
    lines = lines_of([Piece("a\n\nb\n\n")], 10)
    assert [[run.text for run in line] for line in lines] == [["a"], [], ["b"]]


@given(st.text(max_size=60), st.integers(2, 20))
def test_no_line_is_wider_than_asked_for_and_no_character_is_lost(text: str, width: int) -> None:
    shown = visible(text)
    lines = lines_of([Piece(shown)], width)
    for line in lines:
        assert all(run.column + run.cells <= width and run.cells == cells_of(run.text) for run in line)
        assert all(a.column + a.cells <= b.column for a, b in pairwise(line))
    assert "".join(run.text for line in lines for run in line) == "".join(shown.split())


@given(st.text())
def test_what_is_visible_steers_nothing(text: str) -> None:
    for character in visible(text):
        assert character in "\n\t\u200c\u200d" or unicodedata.category(character)[0] != "C"


@pytest.mark.parametrize("stops", [DIVERGING, DIVERGING_DARK])
def test_ink_is_read_on_every_colour_and_colours_differ_from_the_middle_out(stops: tuple[str, ...]) -> None:
    colours = [colour_of(step, stops) for step in range(-STEPS, STEPS + 1)]
    assert min(contrast(colour, ink_on(colour)) for colour in colours) >= 4.5
    assert colours[0] == stops[0] and colours[STEPS] == stops[len(stops) // 2] and colours[-1] == stops[-1]
    sign = 1 if stops is DIVERGING else -1
    light = [sign * luminance(colour) for colour in colours]
    assert light[: STEPS + 1] == sorted(light[: STEPS + 1])
    assert light[STEPS:] == sorted(light[STEPS:], reverse=True)


def test_steps_are_symmetric_about_0_and_end_at_the_limit() -> None:
    assert [step_of(score, 2.0) for score in (-9, -2, -1, 0, 0.01, 1, 2, 9)] == [-20, -20, -10, 0, 0, 10, 20, 20]
    assert step_of(1.0, 0.0) == 0


def test_contrast_is_that_of_wcag() -> None:
    assert (contrast("#000000", "#FFFFFF"), contrast("#777777", "#777777")) == (21.0, 1.0)
    assert round(contrast("#FFFFFF", "#767676"), 2) == 4.54


def test_scores_have_as_many_digits_as_say_something() -> None:
    assert [number(value) for value in (0, 0.5, -12.345, 0.0213, 1e-7)] == ["0.00", "0.50", "-12.35", "0.021", "1e-07"]
    assert comparison(0.8412, 0.8409, True) == "0.8412 ≥ 0.8409"
    assert comparison(0.3, 0.7, False) == "0.30 < 0.70"
    assert comparison(0.5, 0.5, True) == "0.50 ≥ 0.50"


class Page(HTMLParser):
    """The spans of a page with their attributes and text, and every tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.spans: list[tuple[dict[str, str | None], str]] = []
        self._open: list[dict[str, str | None]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "span":
            self._open.append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        if tag == "span":
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and "title" in self._open[-1]:
            self.spans.append((self._open[-1], data))


def test_every_token_is_a_span_that_says_its_score_and_marks(notes: Session) -> None:
    figure = text_concepts(notes, sample=2)
    spans = Page(figure.html()).spans
    assert [(attrs["title"], text) for attrs, text in spans] == [
        ("token 0: score -1.50", "a"),
        ("token 1: score 4.00, superactivator, in concept", "good"),
        ("token 2: score 4.50, superactivator", "dog"),
        ("token 3: score -1.50", "barks"),
        ("token 4: score -1.50", "at"),
        ("token 5: score -1.50", "it"),
    ]
    names = [str(attrs["class"]).split() for attrs, _ in spans]
    assert [("super" in own, "truth" in own) for own in names][:3] == [(False, False), (True, True), (True, False)]
    assert names[2][1] == f"s{2 * STEPS}" and names[0][1] == f"s{STEPS + step_of(-1.5, 4.5)}"
    notes_of = figure.passages[0].notes
    assert notes_of == (
        "layer 2: score 4.50 ≥ 4.00, detected",
        "carries the label: true positive",
        "colours to ±4.50",
    )


def test_a_script_in_a_text_is_text_in_the_page_and_in_the_drawing(notes: Session) -> None:
    figure = text_concepts(notes, sample=5, label="praise")
    for page in (figure.html(), figure._repr_html_()):
        assert "<script" not in page and "\x1b" not in page and "\x07" not in page
        assert "script" not in Page(page).tags
        assert [text for _, text in Page(page).spans] == [
            "<script>alert(1)</script>",
            "\\x1b[31mred\\x1b]0;x\\x07",
            "&",
            '"q"',
        ]
    svg = ElementTree.fromstring(figure.svg())
    texts = [element.text for element in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert "<script>alert(1)</script>" in texts and "\\x1b[31mred\\x1b]0;x\\x07" in texts
    assert EVIL.startswith("<script>")


def test_names_and_titles_are_escaped() -> None:
    passage = Passage("<b>'\"&", ("<i>",), (Piece("<u>", (0,), 1.0), Piece("</p>")), 1.0, "<h>")
    figure = TextFigure("<t>", ("<m>",), (passage,), '"><d>')
    tags = set(Page(figure.html()).tags)
    assert tags.isdisjoint({"b", "i", "u", "h", "t", "m", "d"})
    assert "&lt;u&gt;" in passage_html(passage)
    svg = ElementTree.fromstring(figure.svg())
    assert svg.get("aria-label") == '"><d>'


def test_a_page_asks_for_nothing_and_has_a_dark_variant(notes: Session) -> None:
    page = text_concepts(notes, sample=2).html()
    assert "http" not in page and "url(" not in page and "@import" not in page
    assert page.count("@media (prefers-color-scheme: dark)") == 2
    assert page.startswith("<!DOCTYPE html>") and '<html lang="en">' in page and "viewport" in page


def test_a_fragment_styles_nothing_but_itself() -> None:
    selectors = [line.partition("{")[0].strip() for line in style().splitlines() if "{" in line]
    assert selectors and all(one.startswith((".superact-text", "@media")) for one in selectors)


def test_what_is_marked_is_said_to_those_who_do_not_see_it(notes: Session) -> None:
    page = text_concepts(notes, sample=2).html()
    assert "Superactivators: good (4.00), dog (4.50). Ground truth: good (4.00)." in page


def test_the_drawing_has_a_box_for_every_superactivator_and_a_line_for_the_truth(notes: Session) -> None:
    figure = text_concepts(notes, sample=[0, 2, 5, 7])
    svg = ElementTree.fromstring(figure.svg())
    rectangles = list(svg.iter("{http://www.w3.org/2000/svg}rect"))
    boxes = [one for one in rectangles if one.get("fill") == "none"]
    lines = [one for one in rectangles if one.get("fill") == "#FFD400"]
    marked = notes.sql(
        "SELECT count(*) AS n, count(*) FILTER (in_concept) AS t FROM superactivators WHERE sample IN (0, 2, 5, 7)"
    )
    truth = notes.sql("SELECT count(*) AS n FROM token_labels WHERE sample IN (0, 2, 5, 7)")["n"][0]
    # One of each stands in the legend.
    assert (len(boxes) - 1, len(lines) - 1) == (marked["n"][0], truth)
    width, height = float(svg.get("width", 0)), float(svg.get("height", 0))
    for one in rectangles:
        assert float(one.get("x", 0)) + float(one.get("width", 0)) <= width
        assert float(one.get("y", 0)) + float(one.get("height", 0)) <= height


def test_every_format_is_saved(notes: Session, tmp_path: Path) -> None:
    figure = text_concepts(notes, sample=[2, 5])
    begins = {"png": b"\x89PNG", "svg": b"<svg ", "pdf": b"%PDF-", "html": b"<!DOCTYPE html>"}
    for kind, first in begins.items():
        assert save(figure, tmp_path / f"x.{kind}").read_bytes().startswith(first)


def test_texts_of_several_samples_and_all_their_words_are_shown(notes: Session) -> None:
    figure = text_concepts(notes, sample=list(WORDS), label="praise")
    assert [passage.group for passage in figure.passages] == [f"sample {sample}" for sample in WORDS]
    for passage, text in zip(figure.passages, WORDS.values(), strict=True):
        assert "".join(piece.text for piece in passage.pieces) == visible(text)
    assert figure.title == "Notes | Reader 1B | samples " + ", ".join(
        f"{sample} ({('train', 'cal', 'test')[sample % 3]})" for sample in WORDS
    )


def test_left_out_the_sample_is_the_test_sample_with_the_most_labels(notes: Session) -> None:
    assert text_concepts(notes).title == "Notes | Reader 1B | sample 2 (test)"
    # `never` has no threshold and is left out.
    assert [passage.heading for passage in text_concepts(notes).passages] == ["praise"]


def test_top_tokens_are_those_of_plain_sql(notes: Session) -> None:
    rows = notes.sql(
        "SELECT sample, token, score, in_concept FROM scores WHERE split = 'test' ORDER BY score DESC, sample, token LIMIT 4"
    ).rows()
    figure = top_tokens(notes, k=4, per_sample=None)
    assert [passage.heading for passage in figure.passages] == [
        f"{rank}. score {score:.2f}" for rank, (_, _, score, _) in enumerate(rows, 1)
    ]
    wanted = [(f"sample {s}, token {t}", "in concept" if c else "not in concept") for s, t, _, c in rows]
    assert [passage.notes[:2] for passage in figure.passages] == wanted
    for passage, (_, token, _, _) in zip(figure.passages, rows, strict=True):
        assert [piece.tokens for piece in passage.pieces if piece.aimed] == [(token,)]
    assert [passage.notes[0] for passage in top_tokens(notes, k=9).passages] == [
        "sample 5, token 0",
        "sample 2, token 2",
    ]
    assert "3 of" not in figure.description and "1 of 4 carry the label" in figure.description


@pytest.mark.parametrize(("text", "places"), [("a b", (1, 1)), (None, (None, None)), ("a b", (None, None))])
def test_a_token_without_a_character_is_shown_as_one(text: str | None, places: tuple[int | None, int | None]) -> None:
    pieces = cut(text, ("a", 0, 1), (None, *places), ("b", 2, 3))
    assert [piece.text for piece in pieces if piece.tokens == (1,)] == [NO_TEXT]
    assert [piece.text for piece in around(pieces, 1) if piece.aimed] == [NO_TEXT]


@pytest.mark.parametrize("layer", [None, 2])
def test_where_no_label_could_be_calibrated_that_is_said(tmp_path: Path, layer: int | None) -> None:
    world = replace(a_world(), labels={"red": True}, concepts={"red": "ok"}, token_labels=set())
    samples = {(s, name) for s, name in world.sample_labels if name == "red" and world.samples[s] != "cal"}
    scores = {key: score for key, score in world.scores.items() if key[0] == "red"}
    warehouse = publish_world(tmp_path / "wh", replace(world, sample_labels=samples, scores=scores), layer=2)
    evaluate(warehouse, ("detect", "layers"), protocol=PROTOCOL)
    for figure in (text_concepts, top_tokens):
        with pytest.raises(BadInput, match="No label of d could be calibrated"):
            figure(Session(warehouse), dataset="d", layer=layer)
        with pytest.raises(BadInput, match="no layer 9" if layer else "no threshold|threshold at no layer"):
            figure(Session(warehouse), dataset="d", layer=9 if layer else None, label=None if layer else "red")


def test_a_label_that_is_not_evaluated_is_said(tmp_path: Path) -> None:
    world = a_world()
    warehouse = publish_world(tmp_path / "wh", replace(world, labels={**world.labels, "red": False}), layer=2)
    evaluate(warehouse, ("detect", "layers"), protocol=PROTOCOL)
    with pytest.raises(BadInput, match="Label red of d is not evaluated"):
        top_tokens(Session(warehouse), dataset="d", label="red")


def test_the_words_around_a_token_are_cut_at_pieces_and_marked_as_cut() -> None:
    words = [Piece(f"word{i}", (i,), 0.0) for i in range(9)]
    pieces = [piece for word in words for piece in (word, Piece(" "))][:-1]

    def shown(token: int) -> str:
        return "".join(piece.text for piece in around(pieces, token, 13))

    assert shown(4) == "… word2 word3 word4 word5 word6 …"
    assert shown(0) == "word0 word1 word2 …"
    assert shown(8) == "… word6 word7 word8"
    assert "".join(piece.text for piece in around(pieces, 4, 999)) == " ".join(f"word{i}" for i in range(9))


def test_a_figure_of_texts_is_refused_for_images_and_unknown_names(notes: Session) -> None:
    with pytest.raises(BadInput, match=r"There is no sample 8 of notes\. Its samples are 0 to 7\."):
        text_concepts(notes, sample=8)
    with pytest.raises(BadInput, match=r"There is no label 'prais' of notes\. The nearest: praise"):
        text_concepts(notes, sample=2, label=["prais"])
    with pytest.raises(BadInput, match="Fewer than one"):
        top_tokens(notes, k=0)
