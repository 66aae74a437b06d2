"""What a reply means: the table of cases that docs/prompts.md speaks of."""

from __future__ import annotations

import pytest

from superact.prompts.parse import Boxes, Phrases, parse_answer, parse_boxes, parse_phrases

YES = [
    "Yes",
    "yes",
    "YES.",
    "  yes!\n",
    "FINAL ANSWER: Yes",
    "Final answer: yes",
    "**FINAL ANSWER:** Yes",
    "*Final Answer:* **Yes**",
    "**Answer**: Yes",
    "**Final Answer**\n\nYes",
    "# Final answer\nYes",
    "The final answer is: Yes.",
    "FINAL ANSWER：Yes",
    "I see no dog at first. Then I do.\nFINAL ANSWER: Yes",
    "FINAL ANSWER: No\nWait.\nFINAL ANSWER: Yes",
    "FINAL ANSWER: 'Yes'",
    "FINAL ANSWER: Yes<|eot_id|>",
    "<|im_start|>Yes</s>",
    "```json\nYes\n```",
    "```\nFINAL ANSWER: Yes\n```",
    "`Yes`",
    "_Yes_",
    r"\[ \boxed{\text{Yes}} \]",
    r"FINAL ANSWER: $\boxed{Yes}$",
    "<think>No, hardly. FINAL ANSWER: No</think>Yes",
    "Yes. The passage is sarcastic.",
    "FINAL ANSWER: Yes\n\nExplanation: the passage mocks, as nobody does.",
    "**FINAL ANSWER: Yes**\n(it isn't close)",
]
NO = ["No", "no.", "FINAL ANSWER: No", "Yes? Perhaps.\n**Final answer:** no", "No. It is not sarcastic.", "NO!"]
UNPARSED = [
    "",
    "   \n",
    "FINAL ANSWER:",
    "FINAL ANSWER: Maybe",
    "FINAL ANSWER: Yes and No",
    "Yes. No.",
    "No, yes",
    "FINAL ANSWER: Yes / No",
    "Yes, the passage is sarcastic.",
    "No, it is not.",
    "No doubt about it",
    "FINAL ANSWER: Yes (it isn't close)",
    "FINAL ANSWER: Yes\nBut no.",
    "Yesterday",
    "Nothing of it",
    "Not sure",
    "None",
    "yes-no",
    "I have no idea.",
    "The passage says yes.",
    "The answer could be either.",
    "1",
    "y",
    "n",
    "Ja",
    "yesss",
    "no_one",
    "eyes",
    "<think>Yes. It is yes",
    'FINAL ANSWER: Yes" if the passage contains dog, or with the line "FINAL ANSWER: No" if it does not.',
    "FINAL ANSWER: Yes\nFINAL ANSWER:",
]


@pytest.mark.parametrize("reply", YES)
def test_yes(reply: str) -> None:
    assert parse_answer(reply) == "yes"


@pytest.mark.parametrize("reply", NO)
def test_no(reply: str) -> None:
    assert parse_answer(reply) == "no"


@pytest.mark.parametrize("reply", UNPARSED)
def test_neither(reply: str) -> None:
    assert parse_answer(reply) == "unparsed"


BOXES = [
    ("[1, 2, 30, 40]", Boxes(True, ((1, 2, 30, 40),))),
    ("[1,2,30,40]\n[ 5.5 , 6 , 7. , 8 ]", Boxes(True, ((1, 2, 30, 40), (5.5, 6, 7, 8)))),
    ('```json\n[{"bbox_2d": [1, 2, 30, 40], "label": "dog"}]\n```', Boxes(True, ((1, 2, 30, 40),))),
    ("The box is **[1, 2, 30, 40]**.", Boxes(True, ((1, 2, 30, 40),))),
    ("None", Boxes(True)),
    ("**none.**", Boxes(True)),
    ("[None]", Boxes(True)),
    # It overlaps: clipped.
    ("[-5, -6, 30, 40]", Boxes(True, ((0, 0, 30, 40),))),
    ("[90, 40, 120, 60]", Boxes(True, ((90, 40, 100, 50),))),
    # It does not: dropped, and counted.
    ("[100, 0, 120, 50]", Boxes(True, (), 1)),
    ("[-9, -9, -1, -1]\n[1, 2, 3, 4]\n[0, 51, 5, 60]", Boxes(True, ((1, 2, 3, 4),), 2)),
    # Swapped or without an inside: nothing of the reply counts.
    ("[30, 2, 1, 40]", Boxes(False)),
    ("[1, 2, 3, 4]\n[1, 40, 30, 2]", Boxes(False)),
    ("[1, 2, 1, 40]", Boxes(False)),
    ("[1, 2, 30]", Boxes(False)),
    ("(1, 2), (30, 40)", Boxes(False)),
    ("in the middle", Boxes(False)),
    ("", Boxes(False)),
    ("There is none that I can see", Boxes(False)),
]


@pytest.mark.parametrize(("reply", "expected"), BOXES)
def test_boxes(reply: str, expected: Boxes) -> None:
    assert parse_boxes(reply, 100, 50) == expected


TEXT = "Oh great, another meeting. What a GREAT day, isn't it?\nI can't wait; a  meeting is  fun."


def spans(*phrases: str) -> tuple[tuple[int, int], ...]:
    """Where phrases stand in the text, letter by letter."""
    return tuple(sorted((TEXT.index(phrase), TEXT.index(phrase) + len(phrase)) for phrase in phrases))


PHRASES = [
    ("another meeting", Phrases(True, spans("another meeting"))),
    # Any case, and every place.
    ("great", Phrases(True, spans("great", "GREAT"))),
    ("\"another meeting\", 'a GREAT day'", Phrases(True, spans("another meeting", "a GREAT day"))),
    ("“Another meeting”, What a", Phrases(True, spans("another meeting", "What a"))),
    ("- another meeting\n- fun", Phrases(True, spans("another meeting", "fun"))),
    ("1. another meeting\n2) fun", Phrases(True, spans("another meeting", "fun"))),
    # One line of the text, comma and all; in quotation marks, too.
    ("Oh great, another meeting", Phrases(True, spans("Oh great, another meeting"))),
    ('"Oh great, another meeting", fun', Phrases(True, spans("Oh great, another meeting", "fun"))),
    ("'isn't it'", Phrases(True, spans("isn't it"))),
    ("can't wait", Phrases(True, spans("can't wait"))),
    # Blanks match blanks.
    ("a meeting is fun", Phrases(True, spans("a  meeting is  fun"))),
    ("isn't it? I can't", Phrases(True, spans("isn't it?\nI can't"))),
    ("**fun**.", Phrases(True, spans("fun"))),
    # Whole words only; what is not there is counted.
    ("eat", Phrases(True, (), 1)),
    ("anoth, fun, cheese", Phrases(True, spans("fun"), 2)),
    ("None", Phrases(True)),
    ('"None".', Phrases(True)),
    ("", Phrases(False)),
    (" , \n ... ", Phrases(False)),
]


@pytest.mark.parametrize(("reply", "expected"), PHRASES)
def test_phrases(reply: str, expected: Phrases) -> None:
    assert parse_phrases(reply, TEXT) == expected


def test_a_text_is_no_pattern() -> None:
    assert parse_phrases("a.b (c), $5", "axb a.b (c) $5 $50") == Phrases(True, ((4, 11), (12, 14)))
