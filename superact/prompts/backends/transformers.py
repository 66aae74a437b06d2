"""A chat model of transformers in this process: greedy, in batches that are padded on the left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from superact.datasets.base import slug
from superact.errors import BadInput
from superact.models.chat import ChatModel
from superact.prompts.backends.base import CUT, STOP, Answering, Reply
from superact.prompts.questions import Request
from superact.store.identity import Identity


class TransformersBackend:
    """A loaded chat model, asked `concurrency` questions at a time, replies of at most `max_tokens` tokens."""

    def __init__(
        self, chat: ChatModel, *, max_tokens: int = 256, concurrency: int = 8, name: str | None = None
    ) -> None:
        """`name`: what the model is called in the warehouse; by default as it is called anywhere else."""
        self._chat, self.max_tokens, self.concurrency = chat, max_tokens, concurrency
        self.model = Answering(
            name or chat.name,
            slug(name) if name else chat.slug,
            chat.source,
            chat.licence,
            chat.revision,
            chat.n_blocks,
            chat.width,
        )

    @property
    def identity(self) -> Identity:
        """The kind of back-end, the model's own facts, the longest reply."""
        own = {f"model:{name}": value for name, value in self._chat.identity.items()}
        return {"backend": "transformers", **own, "max_tokens": self.max_tokens}

    @property
    def provenance(self) -> dict[str, Any]:
        """Device, library versions, and how many questions at a time."""
        return {**self._chat.provenance, "concurrency": self.concurrency}

    def start(self) -> None:
        """Nothing to do: the model is loaded."""

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """The replies in order; one of `max_tokens` tokens without an end token among them is cut (`length`).

        Errors: BadInput for a question longer than the model reads, or too much for the device.
        """
        # Alike lengths together, so that little is padding.
        order = sorted(range(len(requests)), key=lambda i: len(requests[i].text))
        replies = [Reply("")] * len(requests)
        for start in range(0, len(order), self.concurrency):
            chosen = order[start : start + self.concurrency]
            for index, reply in zip(chosen, self._generate([requests[i] for i in chosen]), strict=True):
                replies[index] = reply
        return replies

    def _generate(self, requests: list[Request]) -> list[Reply]:
        inputs = self._inputs(requests)
        n = inputs["input_ids"].shape[1]
        limit = self._chat.max_tokens
        if limit is not None and n + self.max_tokens > limit:
            longest = requests[int(inputs["attention_mask"].sum(1).argmax())]
            raise BadInput(
                what=f"The question about {longest.about} has {n} tokens; {self._chat.name} has room for {limit}, and "
                f"{self.max_tokens} are for the reply.",
                remedy="Lower --max-tokens, use another model, or leave that sample out.",
            )
        try:
            with torch.inference_mode():
                found = self._chat.network.generate(**inputs, max_new_tokens=self.max_tokens)
        except torch.OutOfMemoryError as error:
            raise BadInput(
                what=f"{len(requests)} questions at a time do not fit into the memory of the device.",
                remedy="Lower --concurrency, or use --dtype bfloat16.",
            ) from error
        said = found[:, n:]
        ended = torch.isin(said, torch.tensor(self._end_tokens, dtype=said.dtype, device=said.device)).any(1).tolist()
        texts: list[str] = self._chat.tokenizer.batch_decode(said, skip_special_tokens=True)
        return [Reply(text, STOP if end else CUT) for text, end in zip(texts, ended, strict=True)]

    @property
    def _end_tokens(self) -> list[int]:
        """The tokens by which this model says that it is done."""
        ends = self._chat.network.generation_config.eos_token_id
        return [ends] if isinstance(ends, int) else list(ends or [])

    def _inputs(self, requests: list[Request]) -> dict[str, Any]:
        """What the network reads: the chat template around each question, padded on the left."""
        shared: dict[str, Any] = {"add_generation_prompt": True, "tokenize": True, "return_dict": True}
        shared |= {"return_tensors": "pt", **self._chat.template_options}
        if requests[0].picture is None:
            texts = [[{"role": "user", "content": request.text}] for request in requests]
            inputs = self._chat.tokenizer.apply_chat_template(texts, padding=True, **shared)
        else:
            turns = [
                [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image", "image": request.picture.image if request.picture else None},
                            {"type": "text", "text": request.text},
                        ],
                    }
                ]
                for request in requests
            ]
            inputs = self._chat.processor.apply_chat_template(turns, processor_kwargs={"padding": True}, **shared)
        return {name: value.to(self._chat.device) for name, value in inputs.items()}
