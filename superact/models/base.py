"""What text and vision models have in common: names, layer numbers, identity, device and dtype."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import transformers
from torch import Tensor, nn

from superact.errors import BadInput, LayerOutOfRange, ModelUnavailable
from superact.models.hidden_states import HiddenStates

Identity = dict[str, str | int | float | bool | None]

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
AUTOCASTS = ("bfloat16", "float16")
_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cublas_status_alloc_failed",
    "cublas_status_not_initialized",
    "cudnn_status_alloc_failed",
)
"""What CUDA, MPS, the CPU's allocator, cuBLAS (whose handle needs room as well) and cuDNN say, in lower case; only CUDA and
its kin have an error class for it."""


@dataclass(frozen=True)
class Source:
    """Where a model was read from and how: what `load_model` hands to the two model classes."""

    ref: str
    """Folder or hub id, as transformers takes it."""
    display: str
    slug: str
    origin: str
    """For people: the hub id, the wheel, or the folder."""
    licence: str | None
    revision: str | None
    """Hub commit, or the SHA-256 of the weight files of a folder."""
    hub: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of every `from_pretrained`."""
    device_map: str | None = None
    """How the weights were spread over devices, or None: recorded, never compared."""
    autocast: str | None = None
    """The dtype that products are computed in, where it is not that of the weights."""


class Model:
    """A loaded model that turns batches into hidden states. Use `load_model`; see `TextModel` and `VisionModel`.

    Attributes
    ----------
    name, slug, source, licence
        Display name, path key, where it came from (for people), licence note or None.
    modality
        `text` or `image`.
    n_blocks, width
        T, transformer blocks actually executed, read from the loaded model; d, components of a hidden state.
    device, dtype
        Of the weights and of what `forward` returns.
    identity, provenance
        Flat facts that determine the numbers; facts that are recorded but not compared (device, library versions).
    """

    modality: ClassVar[Literal["text", "image"]]

    def __init__(self, source: Source, network: nn.Module, device: torch.device, dtype: str) -> None:
        self.name, self.slug = source.display, source.slug
        self.source, self.licence = source.origin, source.licence
        self.network = network
        self.config: Any = network.config
        self.device, self.dtype = device, DTYPES[dtype]
        self._source, self._dtype_name = source, dtype
        self._states: HiddenStates

    @property
    def n_blocks(self) -> int:
        """T: number of transformer blocks actually executed."""
        return self._states.n_blocks

    @property
    def width(self) -> int:
        """d: number of components of a hidden state."""
        return self._states.width

    @property
    def last_is_normed(self) -> bool:
        """Whether layer T is after the model's final norm, as for a decoder."""
        return self._states.last_is_normed

    @property
    def layers(self) -> range:
        """The layers 0..T: 0 is the embedding output, k the state after block k."""
        return range(self.n_blocks + 1)

    @property
    def identity(self) -> Identity:
        """The flat facts that determine this model's hidden states."""
        return {
            "model": self.slug,
            "revision": self._source.revision,
            "dtype": self._dtype_name,
            "attention": getattr(self.config, "_attn_implementation", None),
            # Only where it is used: warehouses made without it keep their identity.
            **({"autocast": self._source.autocast} if self._source.autocast else {}),
            **self._own_identity(),
        }

    def _own_identity(self) -> Identity:
        raise NotImplementedError

    @property
    def provenance(self) -> dict[str, str]:
        """Device name and library versions: recorded with a run, never compared."""
        spread = {"device_map": self._source.device_map} if self._source.device_map else {}
        return {
            "device": device_name(self.device),
            **spread,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }

    def layer_of_percent(self, percent: float) -> int:
        """Layer at `percent` (0 to 100) through the model: clamp(floor(percent/100 * T) - 1, 0, T-1) + 1.

        Raises BadInput outside 0..100. Source: representation contract, section 1.
        """
        if not 0 <= percent <= 100:
            raise BadInput(what=f"{percent} is not a percentage.", remedy="Give numbers from 0 to 100.")
        block = math.floor(percent * self.n_blocks / 100) - 1  # in this order whole percents are exact
        return min(max(block, 0), self.n_blocks - 1) + 1

    def resolve_layers(
        self, layers: Literal["all"] | Iterable[int] | None = None, percents: Iterable[float] | None = None
    ) -> list[int]:
        """The layers asked for by number or percent, ascending and without repeats; all of them when neither is given.

        Raises LayerOutOfRange for a number outside 0..T, BadInput for a percent outside 0..100.
        """
        if isinstance(layers, str) and layers != "all":
            raise BadInput(what=f"{layers!r} does not name layers.", remedy="Give 'all' or a list of layer numbers.")
        if layers == "all" or (layers is None and percents is None):
            return list(self.layers)
        numbers = [int(layer) for layer in layers or () if not isinstance(layer, str)]
        self._check_layers(numbers)
        return sorted({*numbers, *(self.layer_of_percent(percent) for percent in percents or ())})

    def _check_layers(self, layers: Iterable[int]) -> None:
        for layer in layers:
            if layer not in self.layers:
                raise LayerOutOfRange(model=self.name, last=self.n_blocks, blocks=self.n_blocks, layer=layer)

    def _forward(self, inputs: Mapping[str, Any], layers: Sequence[int]) -> dict[int, Tensor]:
        self._check_layers(layers)
        autocast = self._source.autocast
        with torch.autocast(self.device.type, DTYPES[autocast]) if autocast else nullcontext():
            states = self._states(inputs, layers)
        # With a device map the states of one pass lie on several devices, and under autocast a block may end in a product of
        # half precision; otherwise nothing moves.
        return {layer: state.to(self.device, self.dtype) for layer, state in states.items()}


def slug_of(ref: str) -> str:
    """Path key of a hub id or folder name: its last part in lower case, only `[a-z0-9.-]`, a letter first."""
    last = ref.rstrip("/").rsplit("/", 1)[-1].lower()
    cleaned = re.sub(r"[^a-z0-9.-]+", "-", last).strip("-.")
    if not cleaned:
        raise BadInput(what=f"No path key can be made of the model name {ref!r}.", remedy="Rename the folder.")
    return cleaned if cleaned[0].isalpha() else f"m-{cleaned}"


def choose_device(device: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU. Raises BadInput for a device this machine does not have."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise BadInput(what=f"{device!r} is not a device.", remedy="Give auto, cpu, cuda, cuda:N or mps.") from error
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(chosen.type, False):
        raise BadInput(what=f"This machine has no {device} device for torch.", remedy="Use --device auto or cpu.")
    return chosen


def check_autocast(autocast: str | None, dtype: str, device: torch.device) -> None:
    """Raise BadInput unless products can be computed in `autocast` there, the weights being float32 (None: no autocast)."""
    if autocast is None:
        return
    if autocast not in AUTOCASTS:
        raise BadInput(what=f"{autocast!r} is not a dtype to compute in.", remedy=f"Use {' or '.join(AUTOCASTS)}.")
    if dtype != "float32":
        raise BadInput(
            what=f"Weights of {dtype} leave autocast nothing to do.", remedy="Leave out --dtype, or --autocast."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a device that cannot computes in float32 and only warns
        try:
            torch.autocast(device.type, DTYPES[autocast])
        except (RuntimeError, UserWarning) as error:
            raise BadInput(
                what=f"The device {device.type} does not compute in {autocast} on its own accord.",
                remedy="Use another --autocast, or --dtype alone.",
            ) from error


def device_name(device: torch.device) -> str:
    """The device in words, as recorded in the provenance."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} ({platform.machine()})"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whatever device."""
    said = str(error).lower()
    return isinstance(error, RuntimeError) and (
        isinstance(error, torch.OutOfMemoryError) or any(words in said for words in _NO_MEMORY)
    )


def digest(settings: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON-able mapping, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def weights_sha256(folder: Path) -> str:
    """SHA-256 over the weight files of a folder in name order, as `cat *.safetensors *.bin | sha256sum` would give.

    For a folder with one weight file it is that file's SHA-256. Raises ModelUnavailable when there is none.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix in (".safetensors", ".bin") and file.is_file())
    if not files:
        raise ModelUnavailable(model=str(folder), reason="the folder holds no .safetensors or .bin weights")
    hasher = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                hasher.update(chunk)
    return hasher.hexdigest()
