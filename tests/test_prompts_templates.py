"""The words of the questions: what is in them, what may replace them, and what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from superact.errors import BadInput
from superact.prompts.templates import Wording, list_of, read_wording

LABELS = ["dog", "material::brick", 'a, "b"']


def test_the_question_about_a_text_has_the_list_the_label_and_the_passage() -> None:
    text = read_wording("text").text("detect", LABELS, "dog", text="It cost $5, ${label} or $$.")
    assert 'some of these concepts: "dog", "material::brick", "a, \\"b\\"".' in text
    assert '"FINAL ANSWER: Yes" if the passage contains dog, or with the line "FINAL ANSWER: No"' in text
    # The passage is data: nothing in it is a placeholder.
    assert text.endswith("Passage:\nIt cost $5, ${label} or $$.")


def test_the_question_where_in_a_text_asks_for_its_words() -> None:
    text = read_wording("text").text("localize", LABELS, "dog", text="A dog barks.")
    assert text.startswith("Text:\nA dog barks.\n\nThis text contains dog.")
    assert "separated by commas" in text and "None" in text


def test_the_questions_about_an_image() -> None:
    wording = read_wording("image")
    detect = wording.text("detect", LABELS, "material::brick")
    assert list_of(LABELS) in detect and "if the picture contains material::brick" in detect
    localize = wording.text("localize", LABELS, "dog", width=640, height=480)
    assert localize.startswith("The picture above is 640 pixels wide and 480 pixels high, and it shows dog.")
    assert "[x1, y1, x2, y2]" in localize and "None" in localize


@pytest.mark.parametrize("modality", ["image", "text"])
def test_no_template_leaves_a_placeholder_open_or_ends_in_a_blank_line(modality: str) -> None:
    about = {"text": "T"} if modality == "text" else {"width": 1, "height": 2}
    wording = read_wording(modality)
    for task in ("detect", "localize"):
        text = wording.text(task, ["dog"], "dog", **about)
        assert "$" not in text and text == text.strip()


def test_the_digest_is_that_of_the_template_and_differs_between_them() -> None:
    wording = Wording("a $label", "b $label")
    assert wording.sha256("detect") == hashlib.sha256(b"a $label").hexdigest()
    own = {read_wording(modality).sha256(task) for modality in ("image", "text") for task in ("detect", "localize")}
    assert len(own) == 4


def test_a_folder_replaces_the_files_it_has(tmp_path: Path) -> None:
    (tmp_path / "detect_text.txt").write_text("\ufeffIs $label in: $text\n\n", encoding="utf-8")
    wording = read_wording("text", tmp_path)
    assert wording.text("detect", ["dog"], "dog", text="x") == "Is dog in: x"
    assert wording.localize == read_wording("text").localize
    assert read_wording("image", tmp_path) == read_wording("image")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("detect_txt.txt", b"$label $text", "detect_txt.txt is no template. Templates are called detect_image.txt, "),
        ("detect_text.txt", b"$label", "does not use $text"),
        ("detect_text.txt", b"$text", "does not use $label"),
        (
            "detect_text.txt",
            b"$label $text $width",
            "uses $width, which is unknown here. There are $label, $labels, $text",
        ),
        ("detect_text.txt", b"$label $text 5 $", "has a '$' that begins no placeholder"),
        ("detect_text.txt", b"\xff $label $text", "cannot be read"),
        ("detect_text.txt", b"", "does not use $label"),
    ],
)
def test_a_file_that_is_no_template(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput) as error:
        read_wording("text", tmp_path)
    assert message in str(error.value)


def test_a_folder_without_templates(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BadInput, match="has no template"):
            read_wording("text", folder)
