"""benchmarks/stand_in_vlm.py: what is learned is what is asked, and superact loads and asks what it saves."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from local_models import needs

from superact.datasets.clevr import render_clevr
from superact.models.chat import load_chat
from superact.prompts.backends.base import CUT
from superact.prompts.backends.transformers import TransformersBackend
from superact.prompts.parse import parse_answer
from superact.prompts.questions import Picture, Request

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def script() -> ModuleType:
    for name in ("smollm2-135m", "dinov2-small"):
        needs(name)
    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    try:
        import stand_in_vlm
    finally:
        sys.path.pop(0)
    return stand_in_vlm


@pytest.fixture(scope="module")
def made(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    """Network and processor of one block, at two by two patches, untrained, and lessons about four scenes."""
    root = tmp_path_factory.mktemp("lessons")
    render_clevr(root / "CLEVR-Mini", 4, size=56, workers=1)
    network, processor = script.assemble(1, 28)
    return network, processor, script.Lessons(root, processor)


def test_questions_that_are_packed_are_the_questions_alone(script: ModuleType, made: tuple[Any, Any, Any]) -> None:
    network, processor, lessons = made
    image = network.config.image_token_id
    questions, answers = lessons.of(0, random.Random(1))
    features = script.seen_features(network, processor, lessons)[0]
    assert len(questions) == script.ASKED + 2 and features.shape == (4, 384)
    with torch.no_grad():
        together = script.loss_of(network, features, script.packed(questions, answers, image, 4))
        alone = [
            script.loss_of(network, features, script.packed([question], [answer], image, 4))
            for question, answer in zip(questions, answers, strict=True)
        ]
    weights = torch.tensor([float(len(answer)) for answer in answers])
    assert together.item() == pytest.approx(
        (torch.stack(alone) * weights).sum().item() / weights.sum().item(), rel=0.02
    )


def test_a_lesson_is_what_the_network_is_asked(script: ModuleType, made: tuple[Any, Any, Any]) -> None:
    """The loss of a lesson is that of transformers' own forward pass over the processed picture and question."""
    network, processor, lessons = made
    image = network.config.image_token_id
    (question, *_), (answer, *_) = lessons.of(1, random.Random(2))
    pictures = dict(lessons)
    text = processor.tokenizer.decode(question) + processor.tokenizer.decode(answer)
    inputs = processor(images=pictures[1], text=text, return_tensors="pt")
    assert (inputs["input_ids"] == image).sum() == 4
    labels = inputs["input_ids"].clone()
    labels[:, : -len(answer)] = -100
    features = script.seen_features(network, processor, lessons)[1]
    with torch.no_grad():
        wanted = network(**inputs, labels=labels).loss.item()
        found = script.loss_of(network, features, script.packed([question], [answer], image, 4)).item()
    assert found == pytest.approx(wanted, rel=0.02)


def test_answers_are_right(script: ModuleType, made: tuple[Any, Any, Any]) -> None:
    _, processor, lessons = made
    carried = lessons._held
    for sample, picture in lessons:
        questions, answers = lessons.of(sample, random.Random(sample))
        said = [processor.tokenizer.decode(answer).removesuffix("<|im_end|>") for answer in answers]
        for question, word in zip(questions[: script.ASKED], said, strict=False):
            label = processor.tokenizer.decode(question).partition("decide about one of them: ")[2].partition(".\n")[0]
            assert word.startswith(f"It shows {' and '.join(sorted(carried[sample]))}.")
            assert parse_answer(word) == ("yes" if label in carried[sample] else "no")
        left, top, right, bottom = map(int, said[script.ASKED].strip("[]").split(","))
        assert said[-1] == said[0].partition("\n")[0]
        (mask, *_) = lessons._dataset.masks(sample).values()
        assert mask.any() and mask[top:bottom, left:right].sum() == mask.sum() and picture.size == (56, 56)


def test_it_is_saved_as_a_model_that_superact_asks(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "vlm"
    few = ["--scenes", "8", "--epochs", "1", "--blocks", "1", "--size", "28"]
    monkeypatch.setattr(sys, "argv", ["stand_in_vlm.py", str(out), *few])
    script.main()
    assert "step 0 of 1: loss" in capsys.readouterr().out
    backend = TransformersBackend(load_chat(str(out), modality="image", device="cpu"), max_tokens=3)
    pictures = dict(script.Lessons(tmp_path / "vlm-scenes-8", backend._chat.processor))
    asked = [Request("Is it red?", Picture(pictures[number]), "") for number in range(2)]
    replies = backend.answer(asked)
    assert len(replies) == 2 and all(reply.finish == CUT or reply.text for reply in replies)
    with pytest.raises(SystemExit):
        script.main()  # the folder is there already
