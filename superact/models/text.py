"""Text models: tokens with character offsets in, hidden states out.

Special tokens follow departure 25. A text gets the special tokens of its own tokenizer. A decoder (a model with causal
attention) whose tokenizer puts none in front gets one BOS there, else EOS: the first token of a decoder is an attention
sink with a norm hundreds of times the others', and must not be a word of the text. Special tokens are not content. The
biggest trap: `special_tokens="none"` reproduces the published runs, sink included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoTokenizer

from superact.errors import BadInput, ModelUnavailable
from superact.models.base import Identity, Model, Source
from superact.models.hidden_states import HiddenStates

_PROBE = "The quick brown fox is quick."


@dataclass(frozen=True)
class TokenizedText:
    """One text as a model sees it; all arrays have one entry a token, special tokens included.

    `ids` int32[n]; `char_start`, `char_end` int32[n], code points of the text, end exclusive, 0 and 0 for special tokens;
    `pieces` the text under each token (the token's own string for special tokens); `is_content` bool[n].
    """

    ids: np.ndarray
    char_start: np.ndarray
    char_end: np.ndarray
    pieces: list[str]
    is_content: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


class TextModel(Model):
    """A text encoder or decoder; see `Model` for the common attributes. `max_tokens` is the longest text, or None."""

    modality = "text"

    def __init__(
        self, source: Source, network: nn.Module, device: torch.device, dtype: str, *, special_tokens: str = "auto"
    ) -> None:
        super().__init__(source, network, device, dtype)
        if special_tokens not in ("auto", "none"):
            raise BadInput(what=f"{special_tokens!r} is no policy for special tokens.", remedy="Use auto or none.")
        self.special_tokens = special_tokens
        self.tokenizer: Any = AutoTokenizer.from_pretrained(source.ref, **source.hub)
        if not self.tokenizer.is_fast:
            raise ModelUnavailable(
                model=source.display,
                reason=f"its tokenizer {type(self.tokenizer).__name__} gives no character offsets (a fast tokenizer does)",
            )
        self._tokenizer_digest = _tokenizer_digest(self.tokenizer)
        self._front: int | None = None
        self.max_tokens = _max_tokens(network, self.config.get_text_config())
        self._check_tokenizer()
        probe = self.batch([self.tokenize(_PROBE)])
        self._states = HiddenStates(network, probe, self.config.get_text_config().num_hidden_layers, source.display)
        if special_tokens == "auto" and self.tokenize(_PROBE).is_content[0] and self._is_causal(probe):
            self._front = self._front_token()

    def _check_tokenizer(self) -> None:
        """A tokenizer read as one of another kind drops most of a text without a word (its pieces are in no vocabulary)."""
        found = self.tokenize(_PROBE)
        seen = {i for start, end in zip(found.char_start, found.char_end, strict=True) for i in range(start, end)}
        letters = [i for i, letter in enumerate(_PROBE) if not letter.isspace()]
        if 2 * len(seen.intersection(letters)) < len(letters):
            raise ModelUnavailable(
                model=self.name, reason=f"its tokenizer {type(self.tokenizer).__name__} drops most of {_PROBE!r}"
            )

    def _own_identity(self) -> Identity:
        probe = self.tokenize(_PROBE)
        added = [piece for piece, content in zip(probe.pieces, probe.is_content, strict=True) if not content]
        return {
            "processor": self._tokenizer_digest,
            "special_tokens": self.special_tokens,
            "special_tokens_added": " ".join(added) or None,
        }

    def tokenize(self, text: str) -> TokenizedText:
        """Tokenize one text, without truncation or padding. An empty text has no content token.

        Raises BadInput when the tokens, special ones included, are more than the model has positions for.
        """
        encoding = self.tokenizer(
            text,
            add_special_tokens=self.special_tokens == "auto",
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            return_attention_mask=False,
            padding=False,
            truncation=False,
            verbose=False,
        )
        ids, spans = list(encoding["input_ids"]), list(encoding["offset_mapping"])
        special = [bool(flag) for flag in encoding["special_tokens_mask"]]
        if self._front is not None:
            ids, spans, special = [self._front, *ids], [(0, 0), *spans], [True, *special]
        if self.max_tokens is not None and len(ids) > self.max_tokens:
            raise BadInput(
                what=f"A text has {len(ids)} tokens, and {self.name} takes at most {self.max_tokens}.",
                remedy="Shorten the text, or split it into several samples.",
            )
        spans = [(0, 0) if flag else span for flag, span in zip(special, spans, strict=True)]
        names = self.tokenizer.convert_ids_to_tokens(ids)
        # A token without any text of its own (a lone space marker) is shown by its name, like a special token.
        pieces = [text[start:end] or name for (start, end), name in zip(spans, names, strict=True)]
        bounds = np.array(spans, dtype=np.int32).reshape(-1, 2)
        return TokenizedText(
            np.array(ids, dtype=np.int32),
            bounds[:, 0].copy(),
            bounds[:, 1].copy(),
            pieces,
            ~np.array(special, dtype=bool),
        )

    def batch(self, texts: Sequence[TokenizedText]) -> dict[str, Tensor]:
        """Inputs of `forward`: `input_ids` and `attention_mask`, int64 [B, n_max] on the model's device.

        Always padded on the right, whatever side the tokenizer prefers, so token t of a text has position t in any batch.
        """
        n_max = max(1, *(len(text) for text in texts))
        ids = np.full((len(texts), n_max), self._pad_id(), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = text.ids
            mask[row, : max(1, len(text))] = 1  # a row that attends to nothing would be NaN
        return {
            "input_ids": torch.from_numpy(ids).to(self.device),
            "attention_mask": torch.from_numpy(mask).to(self.device),
        }

    def forward(self, inputs: dict[str, Tensor], layers: Sequence[int]) -> dict[int, Tensor]:
        """One forward pass over a batch: {layer: [B, n_max, d]}, on the model's device, in its dtype, without gradient.

        Padding rows hold meaningless numbers. The result for a token does not depend on the rest of the batch beyond
        rounding (tested: 1e-5 relative in float32). Raises LayerOutOfRange.
        """
        return self._forward(inputs, layers)

    def _pad_id(self) -> int:
        for token in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id):
            if token is not None:
                return int(token)
        return 0

    def _is_causal(self, probe: dict[str, Tensor]) -> bool:
        """Whether a token ignores what follows it, asked of the model itself: change the last token, compare the first."""
        changed = probe["input_ids"].clone()
        changed[0, -1] = (changed[0, -1] + 1) % self.config.get_text_config().vocab_size
        one, two = self._states(probe, self.layers), self._states({**probe, "input_ids": changed}, self.layers)
        # A model too large for its dtype overflows somewhere: the deepest layer before that tells as well.
        finite = [k for k in self.layers if bool(torch.isfinite(one[k]).all() & torch.isfinite(two[k]).all())]
        if not finite:
            raise ModelUnavailable(
                model=self.name, reason=f"it gives no finite numbers in {self._dtype_name}: try another --dtype"
            )
        first, other = one[finite[-1]][0, 0].float(), two[finite[-1]][0, 0].float()
        return bool((first - other).abs().max() <= 1e-5 * first.abs().max())

    def _front_token(self) -> int:
        for token in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id):
            if token is not None:
                return int(token)
        raise ModelUnavailable(
            model=self.name,
            reason="it is a decoder and its tokenizer has neither a BOS nor an EOS token to put in front of a text; "
            "--special-tokens none leaves the first word there",
        )


def _tokenizer_digest(tokenizer: Any) -> str:
    """SHA-256 of the whole fast tokenizer: vocabulary, merges, normaliser and special tokens."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    return hashlib.sha256(backend.to_str().encode()).hexdigest()


def _max_tokens(network: nn.Module, config: Any) -> int | None:
    """The number of positions; RoBERTa's family starts counting after its padding index."""
    embeddings = getattr(getattr(network, "embeddings", None), "position_embeddings", None)
    if isinstance(embeddings, nn.Embedding):
        first = 0 if embeddings.padding_idx is None else embeddings.padding_idx + 1
        return embeddings.num_embeddings - first
    limit = getattr(config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None
