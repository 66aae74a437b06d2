"""Make a small vision-language model, so that `superact prompt` can be tried on pictures where no weights can be downloaded.

    python benchmarks/stand_in_vlm.py OUT [--scenes N] [--epochs E] [--blocks B] [--size PIXELS]
    superact prompt run CLEVR-Mini OUT

LLaVA's architecture, in the classes of transformers: the vision tower is dinov2-small (frozen), the language model the first
blocks of smollm2-135m, between them the usual two linear layers. It learns superact's own questions on CLEVR-Mini scenes of
another seed than that of `superact demo`, so that it has seen none of the pictures it is asked about there. It knows such
scenes and nothing else: good for running every command on real replies, not a rival to report.

Several questions about one picture are one sequence: each sees the picture and itself, not the others.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from itertools import count, islice, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn
from transformers import AutoImageProcessor, AutoModel, AutoModelForCausalLM, AutoTokenizer

from superact.datasets import open_dataset
from superact.datasets.clevr import render_clevr
from superact.models.local import prepare
from superact.prompts.questions import Asker, Question
from superact.prompts.templates import read_wording

SEED = 20_000  # of the scenes; the demo's is 0
IMAGE_TOKEN = "<image>"
WHAT = "What does it show?"
TOWER_LAYER = 9  # of 12
ASKED = 1  # "does it show ..." a picture and step; one "where" comes on top
ACCUMULATE = 8  # pictures a step
QUESTION_RATE = 0.3  # of the learning rates: more, and it forgets what pictures show
PICTURE_EPOCHS = 1.5  # for each of the questions, at a quarter of the time
LEARNING_RATES = {"multi_modal_projector": 2e-3, "language_model": 3e-4}
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'text' %}"
    "{{ part['text'] }}{% else %}<image>\n{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def assemble(blocks: int, size: int) -> tuple[Any, Any]:
    """LLaVA of the two local models, with a new projection; and its processor, which shows pictures at `size` pixels a side."""
    seeing, speaking = prepare(["dinov2-small", "smollm2-135m"])
    tower = AutoModel.from_pretrained(seeing)
    language = AutoModelForCausalLM.from_pretrained(speaking)
    tokenizer = AutoTokenizer.from_pretrained(speaking)
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    language.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    language.model.layers = language.model.layers[:blocks]
    language.config.num_hidden_layers = blocks

    images = AutoImageProcessor.from_pretrained(seeing)
    images.size, images.crop_size = {"shortest_edge": size}, {"height": size, "width": size}
    patch = tower.config.patch_size
    config = transformers.LlavaConfig(
        vision_config=tower.config,
        text_config=language.config,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        vision_feature_layer=TOWER_LAYER,
        image_seq_length=(size // patch) ** 2,
    )
    torch.manual_seed(0)
    network = transformers.LlavaForConditionalGeneration(config)
    network.model.vision_tower.load_state_dict(tower.state_dict())
    network.model.language_model.load_state_dict(language.model.state_dict())
    network.tie_weights()
    network.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids("<|im_end|>")
    processor = transformers.LlavaProcessor(
        images,
        tokenizer,
        patch_size=patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token=IMAGE_TOKEN,
        chat_template=TEMPLATE,
    )
    return network, processor


class Lessons:
    """Questions with their right answers, of one rendered dataset."""

    def __init__(self, root: Path, processor: Any) -> None:
        self._dataset = open_dataset("CLEVR-Mini", root)
        self._labels = sorted((label.name for label in self._dataset.labels if label.evaluated), key=str.encode)
        self._asker = Asker(self._dataset, self._labels, read_wording("image"))
        self._processor = processor
        self._end = processor.tokenizer.convert_tokens_to_ids("<|im_end|>")
        held = self._dataset.sample_labels.group_by("sample").agg("label")
        self._held = dict(zip(held["sample"].to_list(), held["label"].to_list(), strict=True))

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """Every sample's number and picture."""
        for sample in self._dataset.samples["sample"].to_list():
            yield sample, self._dataset.image(sample)

    def first(self, sample: int) -> tuple[list[list[int]], list[list[int]]]:
        """What the picture shows, asked in so few words that the answer can only come from the picture."""
        question, answer = self._tokens(WHAT, self._seen(sample))
        return [question], [answer]

    def of(self, sample: int, rng: random.Random) -> tuple[list[list[int]], list[list[int]]]:
        """Token numbers of some questions about a sample, and of their answers; as many with yes as with no, about."""
        held = self._held[sample]
        others = [label for label in self._labels if label not in held]
        chosen = [rng.choice(held if rng.random() < 0.5 else others) for _ in range(ASKED)]
        # What it sees first, then the answer, which is then a matter of reading.
        found = [
            self._tokens(
                self._asker.request("detect", Question(sample, label)).text,
                f"{self._seen(sample)}\nFINAL ANSWER: {word}",
            )
            for label in chosen
            for word in ["Yes" if label in held else "No"]
        ]
        where = Question(sample, rng.choice(held))
        found.append(self._tokens(self._asker.request("localize", where).text, str(self._box(sample))))
        found.append(self._tokens(WHAT, self._seen(sample)))  # lest it is forgotten
        return [question for question, _ in found], [answer for _, answer in found]

    def _seen(self, sample: int) -> str:
        return f"It shows {' and '.join(sorted(self._held[sample]))}."

    def _tokens(self, asked: str, answer: str) -> tuple[list[int], list[int]]:
        content = [{"type": "image"}, {"type": "text", "text": asked}]
        text = self._processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        tokenizer = self._processor.tokenizer
        return tokenizer(text)["input_ids"], [*tokenizer(answer)["input_ids"], self._end]

    def _box(self, sample: int) -> list[int]:
        """[x1, y1, x2, y2] in pixels around the object."""
        (mask, *_) = self._dataset.masks(sample).values()
        rows, columns = np.nonzero(mask)
        return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


def packed(questions: list[list[int]], answers: list[list[int]], image: int, n_image: int) -> dict[str, torch.Tensor]:
    """One sequence of several questions that share their beginning, picture included.

    Returns input_ids, positions and targets (-100 where nothing is to be said), each of shape (1, n), and a mask (1, 1, n, n)
    by which a token sees the shared beginning and what came before it in its own question.
    """
    # The last token of a question stays its own: that is where its answer begins.
    columns = zip(*(question[:-1] for question in questions), strict=False)
    shared = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    place = questions[0].index(image)
    start = [*questions[0][:place], *[image] * n_image, *questions[0][place + 1 : shared]]
    ids, positions, group, targets = list(start), list(range(len(start))), [0] * len(start), [-100] * len(start)
    for number, (question, answer) in enumerate(zip(questions, answers, strict=True), 1):
        rest = [*question[shared:], *answer]
        ids += rest
        positions += range(len(start), len(start) + len(rest))
        group += [number] * len(rest)
        # What a token is to predict is the one behind it.
        targets += [-100] * (len(question) - shared - 1) + answer + [-100]
    groups = torch.tensor(group)
    order = torch.arange(len(ids))
    seen = (order[None] <= order[:, None]) & ((groups[None] == 0) | (groups[None] == groups[:, None]))
    tensors = {"input_ids": ids, "positions": positions, "targets": targets}
    return {name: torch.tensor(value)[None] for name, value in tensors.items()} | {"mask": seen[None, None]}


def seen_features(network: Any, processor: Any, lessons: Lessons) -> dict[int, torch.Tensor]:
    """What the frozen tower says of each picture, (patches, width of the tower), by sample."""
    found = {}
    for sample, image in lessons:
        pixels = processor.image_processor(image, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            states = network.model.vision_tower(pixels, output_hidden_states=True).hidden_states[TOWER_LAYER]
        found[sample] = states[0, 1:].to(torch.bfloat16).clone()
    return found


def train(network: Any, processor: Any, lessons: Lessons, epochs: float) -> None:
    """Learn what pictures show, then superact's questions; the tower and the word embeddings stay."""
    core = network.model
    core.vision_tower.requires_grad_(False)
    core.language_model.embed_tokens.requires_grad_(False)
    features = seen_features(network, processor, lessons)
    start(core, features)
    rng = random.Random(0)
    learn(network, features, lessons.first, PICTURE_EPOCHS * epochs, 1.0, rng)
    learn(network, features, lambda sample: lessons.of(sample, rng), epochs, QUESTION_RATE, rng)


def start(core: Any, features: dict[int, torch.Tensor]) -> None:
    """Begin with a projection whose results are as large as word embeddings."""
    projector, width = core.multi_modal_projector, core.config.vision_config.hidden_size
    mean = torch.stack([own.float().std() for own in features.values()]).mean().item()
    nn.init.normal_(projector.linear_1.weight, std=1 / (mean * width**0.5))
    words = core.language_model.embed_tokens.weight
    nn.init.normal_(projector.linear_2.weight, std=words.std().item() / words.shape[1] ** 0.5)


def learn(
    network: Any,
    features: dict[int, torch.Tensor],
    lesson_of: Callable[[int], Any],
    epochs: float,
    share: float,
    rng: random.Random,
) -> None:
    """Learn the answers of lessons about every sample, in a new order every epoch, at a share of the learning rates."""
    groups = [
        {"params": [weight for weight in getattr(network.model, part).parameters() if weight.requires_grad]}
        for part in LEARNING_RATES
    ]
    learned = [weight for group in groups for weight in group["params"]]
    steps = max(1, int(len(features) * epochs) // ACCUMULATE)
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01, betas=(0.9, 0.95))
    peaks = [share * rate for rate in LEARNING_RATES.values()]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=steps + 1, pct_start=0.1)
    order = (sample for _ in count() for sample in rng.sample(list(features), len(features)))
    image = network.config.image_token_id
    for step in range(steps):
        total = 0.0
        for sample in islice(order, ACCUMULATE):
            lesson = packed(*lesson_of(sample), image, len(features[sample]))
            loss = loss_of(network, features[sample], lesson) / ACCUMULATE
            loss.backward()
            total += loss.item()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 10 == 0 or step == steps - 1:
            print(f"step {step} of {steps}: loss {total:.3f}", flush=True)


def loss_of(network: Any, features: torch.Tensor, lesson: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean cross-entropy of the answers' tokens, a scalar."""
    core = network.model
    with torch.autocast("cpu", torch.bfloat16):  # half the time where a processor has it
        embedded = core.language_model.embed_tokens(lesson["input_ids"])
        shown = core.multi_modal_projector(features.float())
        place = lesson["input_ids"] == core.config.image_token_id
        embedded = embedded.masked_scatter(place[..., None], shown.to(embedded.dtype))
        states = core.language_model(
            inputs_embeds=embedded, attention_mask=lesson["mask"], position_ids=lesson["positions"]
        ).last_hidden_state
        said = lesson["targets"] != -100
        logits = network.lm_head(states[said])
    return nn.functional.cross_entropy(logits.float(), lesson["targets"][said])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the model, new")
    parser.add_argument("--scenes", type=int, default=1200)
    parser.add_argument("--epochs", type=float, default=1.0, help="of the questions")
    parser.add_argument("--blocks", type=int, default=6, help="of the language model's 30")
    parser.add_argument("--size", type=int, default=112, help="pixels a side, a multiple of 14")
    options = parser.parse_args()
    if options.out.exists():
        parser.error(f"{options.out} exists already")
    if not 1 <= options.blocks <= 30 or options.size < 14 or options.size % 14:
        parser.error("--blocks is 1 to 30, --size a multiple of 14")
    scenes = options.out.with_name(f"{options.out.name}-scenes-{options.scenes}")
    render_clevr(scenes / "CLEVR-Mini", options.scenes, seed=SEED)
    network, processor = assemble(options.blocks, options.size)
    train(network, processor, Lessons(scenes, processor), options.epochs)
    network.save_pretrained(options.out)
    processor.save_pretrained(options.out)


if __name__ == "__main__":
    main()
