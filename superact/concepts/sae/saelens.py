"""The SAELens format: a folder with `cfg.json` and `sae_weights.safetensors`, of its versions before and since 6.

What the configuration says is honoured or refused by name. Weights of half precision are computed with in float32. Where
`rescale_acts_by_decoder_norm` is set the norms of the decoder are folded into the weights, which changes no activation.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from superact.concepts.sae.base import KINDS, Sae, bad, build

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
FORMAT_VERSION = "6.0.0"
"""The SAELens version whose spelling is written."""

_ABOUT = (
    *("model_name", "hook_name", "hook_point", "hook_layer", "dataset_path", "context_size", "prepend_bos"),
    *("dataset", "layer", "unit", "seed", "recipe"),  # of those trained here
)
_SCALES = ("scaling_factor", "finetuning_scaling_factor")


def load_saelens(folder: Path, source: str | None = None) -> Sae:
    """Read an autoencoder in SAELens' format.

    Errors: BadInput for files that are missing or damaged, an architecture other than standard, topk, jumprelu and gated, an
    option that is not honoured, sizes that are not the configuration's, and what `build` checks.
    """
    source = source or str(folder)
    config = _read_config(folder, source)
    kind = _kind(config, source)
    _check_options(config, source)
    tensors = _read_weights(folder, source)
    _drop_unit_scales(tensors, source)
    _check_sizes(config, tensors, source)
    options: dict[str, Any] = {
        "subtract_b_dec": bool(config.get("apply_b_dec_to_input", True)),
        "normalise": _normalisation(config),
        "about": {name: config[name] for name in _ABOUT if config.get(name) is not None},
    }
    if kind == "topk":
        options["k"] = _k(config, source)
        if config.get("rescale_acts_by_decoder_norm"):
            _fold_decoder_norm(tensors)
    return build(kind, tensors, name=folder.name, source=source, **options)


def save_saelens(sae: Sae, folder: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write an autoencoder so that SAELens (from version 6) and `load_saelens` read it; `about` goes into its metadata.

    The configuration is put in place last: a folder that has one is whole. The folder is made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {
        "architecture": sae.kind,
        "d_in": sae.d_in,
        "d_sae": sae.d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": sae.subtract_b_dec,
        "normalize_activations": sae.normalise,
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": FORMAT_VERSION, **dict(sae.about or {}), **dict(about or {})},
    }
    if sae.kind == "topk":
        config |= {"k": sae.k, "rescale_acts_by_decoder_norm": False}
    (folder / CONFIG).unlink(missing_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in sae.tensors.items()}
    save_file(weights, folder / f"{WEIGHTS}.part")
    (folder / f"{WEIGHTS}.part").replace(folder / WEIGHTS)
    temporary = folder / f"{CONFIG}.part"
    with temporary.open("w", encoding="utf-8") as handle:
        handle.write(json.dumps(config, indent=1) + "\n")
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(folder / CONFIG)


def _read_config(folder: Path, source: str) -> dict[str, Any]:
    """The configuration, flat: what stands in `metadata` or `sae` is looked at where the top has nothing of that name."""
    path = folder / CONFIG
    if not path.is_file():
        raise bad(source, f"has no {CONFIG}", f"A SAELens folder holds {CONFIG} and {WEIGHTS}.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise bad(source, f"has a {CONFIG} that is no JSON ({error})", "Get the file again.") from error
    if not isinstance(config, dict):
        raise bad(source, f"has a {CONFIG} that is no JSON object", "Get the file again.")
    inner = [config[name] for name in ("metadata", "sae") if isinstance(config.get(name), dict)]
    flat: dict[str, Any] = {}
    for part in (*inner, config):
        flat |= {name: value for name, value in part.items() if value is not None}
    return flat


def _kind(config: Mapping[str, Any], source: str) -> str:
    function = config.get("activation_fn_str", config.get("activation_fn", "relu"))
    kind = config.get("architecture", "standard")
    if function == "topk" and kind in ("standard", "topk"):
        return "topk"
    if kind not in KINDS:
        raise bad(source, f"has the architecture {kind!r}", f"Read are {', '.join(KINDS)}.")
    if function not in ("relu", "topk"):
        raise bad(source, f"has the activation function {function!r}, which is not honoured", "Read are relu and topk.")
    return str(kind)


def _k(config: Mapping[str, Any], source: str) -> int:
    arguments = config.get("activation_fn_kwargs") or {}
    k = config.get("k", arguments.get("k"))
    if isinstance(k, bool) or not isinstance(k, (int, float)) or k != int(k):
        raise bad(source, f"(topk) has k {k!r}", "It is a whole number of features a row.")
    return int(k)


def _normalisation(config: Mapping[str, Any]) -> str:
    given = config.get("normalize_activations", "none")
    if isinstance(given, bool):  # the oldest files
        return "expected_average_only_in" if given else "none"
    return str(given)


def _check_options(config: Mapping[str, Any], source: str) -> None:
    """Refuse by name what would give other numbers than those computed here."""
    normalisation = _normalisation(config)
    remedy = "Fold it into the weights with SAELens, and save it again."
    if normalisation in ("expected_average_only_in", "covariance_whitening"):
        raise bad(source, f"has normalize_activations {normalisation!r}, whose numbers are not in its files", remedy)
    if config.get("finetuning_scaling_factor"):
        raise bad(source, "has finetuning_scaling_factor, which is not honoured", remedy)
    shape = config.get("reshape_activations", "none")
    hook = str(config.get("hook_name", config.get("hook_point", "")))
    if shape != "none" or hook.endswith("hook_z"):
        raise bad(
            source,
            f"reads the heads of attention ({hook or shape}), not hidden states",
            "Take one of the residual stream.",
        )
    if (config.get("activation_fn_kwargs") or {}).get("signed"):
        raise bad(source, "has a signed activation function, which is not honoured", "Activations are never negative.")


def _read_weights(folder: Path, source: str) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    if not path.is_file():
        raise bad(source, f"has no {WEIGHTS}", f"A SAELens folder holds {CONFIG} and {WEIGHTS}.")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise bad(source, f"has a {WEIGHTS} that cannot be read ({error})", "Get the file again.") from error


def _drop_unit_scales(tensors: dict[str, Tensor], source: str) -> None:
    """Older versions wrote a scaling factor that scaled nothing; one that does is refused."""
    for name in _SCALES:
        factor = tensors.pop(name, None)
        if factor is not None and not bool((factor == 1).all()):
            raise bad(
                source, f"has a {name} other than 1, which is not honoured", "Fold it into W_dec, and save it again."
            )


def _check_sizes(config: Mapping[str, Any], tensors: Mapping[str, Tensor], source: str) -> None:
    if "W_enc" not in tensors:
        return  # named with what else is missing
    found = dict(zip(("d_in", "d_sae"), tensors["W_enc"].shape, strict=False))
    for name in ("d_in", "d_sae"):
        stated = config.get(name)
        if stated is not None and stated != found.get(name):
            shape = list(tensors["W_enc"].shape)
            raise bad(
                source, f"says {name} {stated} and has W_enc of shape {shape}", "Configuration and weights differ."
            )


def _fold_decoder_norm(tensors: dict[str, Tensor]) -> None:
    """Activations are scaled by the norms of the decoder's rows before the selection, and by their inverse after it."""
    if not {"W_enc", "b_enc", "W_dec"} <= set(tensors):
        return
    norms = torch.linalg.vector_norm(tensors["W_dec"].float(), dim=-1)
    tensors["W_enc"] = tensors["W_enc"].float() * norms
    tensors["b_enc"] = tensors["b_enc"].float() * norms
    tensors["W_dec"] = tensors["W_dec"].float() / torch.where(norms > 0, norms, 1.0)[:, None]
