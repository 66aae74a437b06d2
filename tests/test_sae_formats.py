"""Sparse autoencoders: what each kind computes, against NumPy and SAELens; every format; and files that are none."""

from __future__ import annotations

import json
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sae_oracle
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from superact.concepts.sae import Sae, load_sae, save_saelens
from superact.concepts.sae import load as load_module
from superact.concepts.sae.base import KINDS, build
from superact.concepts.sae.sparse import nonzeros
from superact.errors import BadInput

WIDTH, FEATURES, K = 12, 40, 5
OPTIONS = [
    ("none", True),
    ("none", False),
    ("constant_norm_rescale", True),
    ("layer_norm", True),
    ("layer_norm", False),
]


def embeddings(n: int = 30, width: int = WIDTH, seed: int = 1) -> np.ndarray:
    return (2 * np.random.default_rng(seed).normal(size=(n, width)) + 0.5).astype(np.float32)


def tensors(weights: sae_oracle.Weights) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(values) for name, values in weights.items()}


def made(kind: str, seed: int = 0, **options: Any) -> Sae:
    weights = sae_oracle.random_weights(kind, WIDTH, FEATURES, seed)
    if kind == "topk":
        options.setdefault("k", K)
    return build(kind, tensors(weights), name="random", source="random", **options)


def dense(found: tuple[np.ndarray, ...], n: int, width: int = FEATURES) -> np.ndarray:
    row, feature, activation = found
    assert (row.dtype, feature.dtype, activation.dtype) == (np.int64, np.int32, np.float32)
    order = row * width + feature
    assert (np.diff(order) > 0).all() and (activation > 0).all()
    matrix = np.zeros((n, width), np.float32)
    matrix[row, feature] = activation
    return matrix


@pytest.mark.parametrize(("normalise", "subtract"), OPTIONS)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_activations_and_reconstructions_are_those_of_numpy(kind: str, normalise: str, subtract: bool) -> None:
    weights = sae_oracle.random_weights(kind, WIDTH, FEATURES)
    sae, x = made(kind, normalise=normalise, subtract_b_dec=subtract), embeddings()
    expected = sae_oracle.encode(kind, weights, x, k=K, subtract=subtract, normalise=normalise)
    assert 0 < (expected > 0).mean() < 0.9
    acts = sae.encode(torch.from_numpy(x))
    np.testing.assert_allclose(acts.numpy(), expected, rtol=1e-5, atol=1e-5)
    found = sae.encode_sparse(torch.from_numpy(x))
    np.testing.assert_array_equal(dense(found, len(x)), acts.numpy())
    again = sae_oracle.decode(weights, expected, x, normalise)
    np.testing.assert_allclose(sae.decode(acts, torch.from_numpy(x)).numpy(), again, rtol=1e-4, atol=1e-4)
    sparse = sae.decode_sparse(found, len(x), torch.from_numpy(x))
    np.testing.assert_allclose(sparse.numpy(), again, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_top_k_keeps_the_largest_of_each_row(kind: str) -> None:
    sae, x = made(kind), torch.from_numpy(embeddings())
    for most in (1, 3, K, FEATURES, 2 * FEATURES):
        found = dense(sae.encode_sparse(x, most), len(x))
        np.testing.assert_array_equal(found, sae_oracle.largest(sae.encode(x).numpy(), most))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_blocks_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sae, x = made(kind), torch.from_numpy(embeddings(23))
    whole = sae.encode_sparse(x)
    monkeypatch.setattr(Sae, "block_rows", 5)
    for one, other in zip(whole, sae.encode_sparse(x), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
    nothing = sae.encode_sparse(x[:0])
    assert [len(part) for part in nothing] == [0, 0, 0]
    assert sae.decode_sparse(nothing, 2).tolist() == [sae.b_dec.tolist()] * 2


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_how_many_threads_have_blocks_changes_no_bit(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sae, x = made(kind), torch.from_numpy(embeddings(23)).requires_grad_()  # and no thread follows gradients
    monkeypatch.setattr(Sae, "block_rows", 5)
    found = {}
    for workers in (1, 4):
        monkeypatch.setattr("superact.concepts.sae.base.workers_on", lambda device, n=workers: n)
        found[workers] = sae.encode_sparse(x)
    for one, other in zip(found[1], found[4], strict=True):
        np.testing.assert_array_equal(one, other)
    assert found[1][0].max() == 22 and (np.diff(found[1][0]) >= 0).all()


def test_the_block_is_bounded_in_bytes() -> None:
    for features in (64, 4096, 1 << 16):
        weights = {"W_enc": torch.zeros(1, features), "W_dec": torch.zeros(features, 1), "b_dec": torch.zeros(1)}
        sae = build("standard", {**weights, "b_enc": torch.zeros(features)}, name="", source="")
        assert 4 * features * sae.block_rows <= max(8 << 20, 1024 * features)


def test_a_normalising_autoencoder_decodes_only_beside_its_embeddings() -> None:
    sae = made("standard", normalise="layer_norm")
    with pytest.raises(ValueError, match="layer_norm needs the embeddings"):
        sae.decode(torch.zeros(1, FEATURES))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_selection_is_that_of_a_sort(data: st.DataObject) -> None:
    """Over any width, with ties, zeros and negatives; the first of equal ones are taken."""
    n, width = data.draw(st.integers(1, 5)), data.draw(st.sampled_from([1, 2, 7, 64, 130, 300, 515]))
    most = data.draw(st.one_of(st.none(), st.integers(1, width + 2)))
    seed, few = data.draw(st.integers(0, 10_000)), data.draw(st.booleans())
    rng = np.random.default_rng(seed)
    values = rng.integers(-3, 4, (n, width)) if few else rng.normal(size=(n, width))
    values = values.astype(np.float32)
    found = dense(nonzeros(torch.from_numpy(values), most), n, width)
    np.testing.assert_array_equal(found, sae_oracle.largest(values, most or width))


def test_the_smallest_number_above_zero_is_one() -> None:
    least = np.nextafter(np.float32(0), np.float32(1))
    row, feature, value = nonzeros(torch.tensor([[0.0, float(least), -1.0]]), 2)
    assert (row.tolist(), feature.tolist(), value.tolist()) == ([0], [1], [least])


# SAELens


@pytest.mark.parametrize(("normalise", "subtract"), OPTIONS)
@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.filterwarnings("ignore")
def test_saelens_reads_what_is_saved_and_computes_the_same(
    kind: str, normalise: str, subtract: bool, tmp_path: Path
) -> None:
    saelens = pytest.importorskip("sae_lens")
    sae, x = made(kind, normalise=normalise, subtract_b_dec=subtract), torch.from_numpy(embeddings())
    save_saelens(sae, tmp_path / "sae")
    theirs = saelens.SAE.load_from_disk(tmp_path / "sae", device="cpu")
    with torch.no_grad():
        acts = theirs.encode(x)
        torch.testing.assert_close(sae.encode(x), acts, rtol=0, atol=1e-5)
        torch.testing.assert_close(sae.decode(acts, x), theirs.decode(acts), rtol=1e-5, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_saelens_saves_is_read(kind: str, tmp_path: Path) -> None:
    saelens = pytest.importorskip("sae_lens")
    config = {"architecture": kind, "d_in": WIDTH, "d_sae": FEATURES, "dtype": "float32", "device": "cpu"}
    if kind == "topk":
        config |= {"k": K, "rescale_acts_by_decoder_norm": True}
    theirs = saelens.SAE.from_dict({**config, "metadata": {}})
    theirs.load_state_dict(tensors(sae_oracle.random_weights(kind, WIDTH, FEATURES)))
    theirs.save_model(tmp_path / "sae")
    ours, x = load_sae(tmp_path / "sae"), torch.from_numpy(embeddings())
    with torch.no_grad():
        acts = theirs.encode(x)
        torch.testing.assert_close(ours.encode(x), acts, rtol=0, atol=1e-5)
        torch.testing.assert_close(ours.decode(ours.encode(x)), theirs.decode(acts), rtol=1e-5, atol=1e-4)


# Formats


def saelens_folder(path: Path, kind: str, config: dict[str, Any] | None = None, **more: torch.Tensor) -> Path:
    path.mkdir(parents=True)
    own = {"architecture": kind, "d_in": WIDTH, "d_sae": FEATURES, "dtype": "float32"}
    own |= {"k": K} if kind == "topk" else {}
    (path / "cfg.json").write_text(json.dumps(own if config is None else config))
    save_file({**tensors(sae_oracle.random_weights(kind, WIDTH, FEATURES)), **more}, path / "sae_weights.safetensors")
    return path


def gemma_file(path: Path, **changes: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{**sae_oracle.random_weights("jumprelu", WIDTH, FEATURES), **changes})
    return path


def clipscope_file(path: Path, state: dict[str, Any] | None = None, **changes: Any) -> Path:
    weights = tensors(sae_oracle.random_weights("topk", WIDTH, FEATURES))
    own = {"pre_b": weights["b_dec"], "enc": weights["W_enc"], "dec": weights["W_dec"]}
    checkpoint = {
        "n_features": FEATURES,
        "d_in": WIDTH,
        "k": K,
        "model_state_dict": OrderedDict({**own, **(state or {})}),
    }
    checkpoint |= changes
    torch.save({name: value for name, value in checkpoint.items() if value is not None}, path)
    return path


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_saved_one_is_the_same(kind: str, tmp_path: Path) -> None:
    sae = made(kind, subtract_b_dec=False, normalise="constant_norm_rescale", about={"model_name": "tiny"})
    save_saelens(sae, tmp_path / "sae", {"layer": 3})
    read = load_sae(tmp_path / "sae")
    assert (read.digest, read.settings) == (sae.digest, sae.settings)
    assert (read.name, read.about) == ("sae", {"model_name": "tiny", "layer": 3})
    assert made(kind, seed=1).digest != sae.digest != made(kind).digest
    assert load_sae(tmp_path / "sae" / "cfg.json").digest == load_sae(tmp_path, file="sae").digest == sae.digest
    assert sorted(path.name for path in (tmp_path / "sae").iterdir()) == ["cfg.json", "sae_weights.safetensors"]


SPELLINGS: list[tuple[str, dict[str, Any]]] = [
    ("standard", {}),
    (
        "standard",
        {"activation_fn_str": "relu", "normalize_activations": None, "hook_point": "blocks.1.hook_resid_post"},
    ),
    ("standard", {"activation_fn": "relu", "normalize_activations": False, "finetuning_scaling_factor": False}),
    ("topk", {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}),
    ("topk", {"architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}),
    ("topk", {"architecture": "topk", "k": K, "metadata": {"sae_lens_version": "6.1.0"}}),
    ("jumprelu", {"metadata": {"architecture": "jumprelu", "d_in": WIDTH}}),
    ("gated", {"sae": {"architecture": "gated", "d_in": WIDTH, "d_sae": FEATURES}, "model_name": "tiny"}),
]


@pytest.mark.parametrize(("kind", "config"), SPELLINGS)
def test_older_and_newer_spellings_of_the_configuration(kind: str, config: dict[str, Any], tmp_path: Path) -> None:
    read = load_sae(saelens_folder(tmp_path / "sae", kind, config))
    assert (read.kind, read.k) == (kind, K if kind == "topk" else None)
    assert (read.digest, read.subtract_b_dec) == (made(kind).digest, True)


def test_a_unit_scaling_factor_says_nothing_and_half_precision_is_computed_in_float32(tmp_path: Path) -> None:
    assert load_sae(saelens_folder(tmp_path / "a", "standard", scaling_factor=torch.ones(FEATURES))).kind == "standard"
    weights = {name: value.half() for name, value in tensors(sae_oracle.random_weights("standard", 4, 8)).items()}
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "cfg.json").write_text(json.dumps({"dtype": "float16", "apply_b_dec_to_input": False}))
    save_file(weights, tmp_path / "b" / "sae_weights.safetensors")
    read = load_sae(tmp_path / "b")
    assert {tensor.dtype for tensor in read.tensors.values()} == {torch.float32}
    assert not read.subtract_b_dec and torch.equal(read.W_enc, weights["W_enc"].float())


def test_decoder_norms_are_folded_where_the_selection_uses_them(tmp_path: Path) -> None:
    config = {"architecture": "topk", "k": K, "rescale_acts_by_decoder_norm": True}
    sae, x = load_sae(saelens_folder(tmp_path / "sae", "topk", config)), embeddings()
    weights = sae_oracle.random_weights("topk", WIDTH, FEATURES)
    norms = np.linalg.norm(weights["W_dec"], axis=1)
    scaled = {**weights, "W_enc": weights["W_enc"] * norms, "b_enc": weights["b_enc"] * norms}
    expected = sae_oracle.encode("topk", scaled, x, k=K)
    np.testing.assert_allclose(sae.encode(torch.from_numpy(x)).numpy(), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(sae.W_dec.numpy(), axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("spelling", ["W_", "w_"])
def test_gemma_scope(spelling: str, tmp_path: Path) -> None:
    weights = sae_oracle.random_weights("jumprelu", WIDTH, FEATURES)
    path = tmp_path / "width_16k" / "params.npz"
    path.parent.mkdir()
    np.savez(path, **{name.replace("W_", spelling): values for name, values in weights.items()})
    sae, x = load_sae(path), embeddings()
    assert (sae.kind, sae.subtract_b_dec, sae.name) == ("jumprelu", False, "width_16k")
    expected = sae_oracle.encode("jumprelu", weights, x, subtract=False)
    np.testing.assert_allclose(sae.encode(torch.from_numpy(x)).numpy(), expected, rtol=1e-5, atol=1e-5)
    assert load_sae(path.parent).digest == load_sae(tmp_path, file="width_16k/params.npz").digest == sae.digest


def test_clip_scope_has_no_relu_and_a_negative_is_absent(tmp_path: Path) -> None:
    weights = {**sae_oracle.random_weights("topk", WIDTH, FEATURES), "b_enc": np.zeros(FEATURES, np.float32)}
    sae, x = load_sae(clipscope_file(tmp_path / "1200013184.pt")), embeddings()
    assert (sae.kind, sae.k, sae.name, sae.subtract_b_dec) == ("topk", K, "1200013184", True)
    expected = sae_oracle.encode("topk", weights, x, k=K)
    np.testing.assert_allclose(sae.encode(torch.from_numpy(x)).numpy(), expected, rtol=1e-5, atol=1e-5)
    most = load_sae(clipscope_file(tmp_path / "all.pt", k=FEATURES))  # so many that negatives are among them
    row, _, activation = most.encode_sparse(torch.from_numpy(x))
    assert len(row) < x.shape[0] * FEATURES and activation.min() > 0


# What is refused

OPTIONS_REFUSED = [
    ({"architecture": "transcoder"}, "architecture 'transcoder'"),
    ({"architecture": "batchtopk", "k": 3}, "architecture 'batchtopk'"),
    ({"activation_fn_str": "tanh-relu"}, "activation function 'tanh-relu'"),
    ({"architecture": "topk", "k": "many"}, "k 'many'"),
    ({"architecture": "topk", "k": 0}, "k 0 for 40 features"),
    ({"architecture": "topk", "k": FEATURES + 1}, "k 41 for 40 features"),
    ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K, "signed": True}}, "signed activation"),
    ({"normalize_activations": "expected_average_only_in"}, "expected_average_only_in"),
    ({"normalize_activations": True}, "expected_average_only_in"),
    ({"normalize_activations": "covariance_whitening"}, "covariance_whitening"),
    ({"normalize_activations": "by_hand"}, "normalises its input by 'by_hand'"),
    ({"reshape_activations": "hook_z"}, "heads of attention"),
    ({"hook_name": "blocks.3.attn.hook_z"}, "heads of attention"),
    ({"finetuning_scaling_factor": True}, "finetuning_scaling_factor"),
    ({"d_in": 13}, "d_in 13 and has W_enc of shape \\[12, 40\\]"),
    ({"d_sae": 41}, "d_sae 41 and has W_enc of shape \\[12, 40\\]"),
]


@pytest.mark.parametrize(("config", "message"), OPTIONS_REFUSED)
def test_options_that_are_not_honoured_are_named(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = saelens_folder(tmp_path / "sae", "standard", config)
    with pytest.raises(BadInput, match=message) as caught:
        load_sae(folder)
    assert str(folder) in str(caught.value)


WEIGHTS_REFUSED = [
    ({"b_enc": None}, "lacks the tensor b_enc"),
    ({"b_enc": None, "W_dec": None}, "lacks the tensors b_enc, W_dec"),
    ({"threshold": torch.zeros(FEATURES)}, "has the tensor threshold beside its own"),
    ({"scaling_factor": torch.full((FEATURES,), 2.0)}, "scaling_factor other than 1"),
    ({"b_dec": torch.zeros(FEATURES)}, r"b_dec of shape \[40\]"),
    ({"W_dec": torch.zeros(WIDTH, FEATURES)}, r"W_dec of shape \[12, 40\]"),
    ({"W_enc": torch.zeros(WIDTH)}, r"W_enc of shape \[12\]"),
    ({"b_enc": torch.zeros(FEATURES, dtype=torch.int64)}, "b_enc of type int64"),
    ({"b_enc": torch.full((FEATURES,), float("nan"))}, "NaN or infinity in b_enc"),
    ({"W_dec": torch.full((FEATURES, WIDTH), float("inf"))}, "NaN or infinity in W_dec"),
]


@pytest.mark.parametrize(("changes", "message"), WEIGHTS_REFUSED)
def test_weights_that_do_not_fit_are_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "sae").mkdir()
    (tmp_path / "sae" / "cfg.json").write_text(json.dumps({"architecture": "standard"}))
    own = {**tensors(sae_oracle.random_weights("standard", WIDTH, FEATURES)), **changes}
    kept = {name: value for name, value in own.items() if value is not None}
    save_file(kept, tmp_path / "sae" / "sae_weights.safetensors")
    with pytest.raises(BadInput, match=message):
        load_sae(tmp_path / "sae")


def test_saelens_files_that_are_missing_or_damaged(tmp_path: Path) -> None:
    folder = saelens_folder(tmp_path / "sae", "standard")
    (folder / "sae_weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(BadInput, match=r"sae_weights.safetensors that cannot be read"):
        load_sae(folder)
    (folder / "sae_weights.safetensors").unlink()
    with pytest.raises(BadInput, match=r"has no sae_weights.safetensors"):
        load_sae(folder)
    for text, message in (("{", "cfg.json that is no JSON"), ("[1]", "no JSON object")):
        (folder / "cfg.json").write_text(text)
        with pytest.raises(BadInput, match=message):
            load_sae(folder)


def test_gemma_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"of type \|S1"):
        load_sae(gemma_file(tmp_path / "a.npz", threshold=np.full(FEATURES, b"x")))
    with pytest.raises(BadInput, match=r"is no .npz file of arrays"):
        load_sae(gemma_file(tmp_path / "b.npz", threshold=np.array([object()], dtype=object)))
    (tmp_path / "c.npz").write_bytes(b"PK no archive")
    with pytest.raises(BadInput, match=r"is no .npz file of arrays"):
        load_sae(tmp_path / "c.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(tmp_path / "d.npz")
    with pytest.raises(BadInput, match=r"is no .npz file of arrays"):
        load_sae(tmp_path / "d.npz")
    with pytest.raises(BadInput, match="b_enc of shape"):
        load_sae(gemma_file(tmp_path / "e.npz", b_enc=np.zeros(3, np.float32)))


class Mischief:
    """What a pickle must not do: its reading would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_clip_scope_files_that_are_none(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pt"
    for changes, message in (
        ({"k": None}, "has k None"),
        ({"d_in": "12"}, "has d_in '12'"),
        ({"n_features": 41}, r"enc of shape \[12, 40\]"),
        ({"k": FEATURES + 1}, "k 41 for 40 features"),
        ({"model_state_dict": None}, "has no model_state_dict"),
        ({"model_state_dict": {}}, "lacks the tensors pre_b, enc, dec"),
        ({"model_state_dict": {"enc": 1}}, "other things than tensors"),
        ({"state": {"more": torch.zeros(2)}}, "has the tensor more beside its own"),
        ({"state": {"dec": torch.zeros(2)}}, "W_dec of shape"),
    ):
        with pytest.raises(BadInput, match=message):
            load_sae(clipscope_file(bad, **changes))
    bad.write_bytes(b"no file of torch")
    with pytest.raises(BadInput, match=r"is no PyTorch file|holds other objects"):
        load_sae(bad)
    bad.write_bytes(pickle.dumps(Mischief(tmp_path / "made")))
    with pytest.raises(BadInput, match=r"holds other objects than tensors|is no PyTorch file"):
        load_sae(bad)
    torch.save({"k": Mischief(tmp_path / "made")}, bad)
    with pytest.raises(BadInput, match="holds other objects than tensors"):
        load_sae(bad)
    assert not (tmp_path / "made").exists()


def test_places_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").write_text("")
    for ref, file in ((tmp_path, None), (tmp_path / "notes.txt", None), ("nowhere", None), ("owner/repository", None)):
        with pytest.raises(BadInput, match="There is no SAE at"):
            load_sae(ref, file=file)
    for path in (tmp_path / "a.pt", tmp_path / "a.npz"):
        with pytest.raises(BadInput, match="There is no SAE at"):
            load_sae(path)
    with pytest.raises(BadInput, match="does not exist"):
        load_sae(tmp_path, file="a.pt")
    for ref in ("hf://owner", "hf://owner/repository", "hf://"):
        with pytest.raises(BadInput, match="is no place of a file"):
            load_sae(ref)


# The hub


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("ref", "file"),
    [
        ("hf://google/scope/layer_1/width_16k", None),
        ("hf://google/scope/layer_1/params.npz", None),
        ("google/scope", "22_resid/1200013184.pt"),
        ("google/scope", "blocks.3/cfg.json"),
    ],
)
def test_the_hub_that_cannot_be_reached_is_named(ref: str, file: str | None) -> None:
    with pytest.raises(BadInput, match=r"hf://google/scope/.* cannot be fetched") as caught:
        load_sae(ref, file=file)
    assert "local folder or file" in str(caught.value) and caught.value.exit_code == 3


def test_the_hub_is_asked_for_what_the_format_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a folder in place of the hub, which answers as the hub does for a file that is not there."""
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    hub, asked = tmp_path / "hub", []
    saelens_folder(hub / "blocks.3", "gated")
    gemma_file(hub / "layer_1" / "params.npz")
    clipscope_file(hub / "1200.pt")

    def download(repository: str, filename: str, revision: str | None = None) -> str:
        asked.append((repository, filename, revision))
        if not (hub / filename).exists():
            raise EntryNotFoundError(f"404: {filename}")
        return str(hub / filename)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    sae = load_sae("hf://owner/saes/blocks.3", revision="v1")
    assert (sae.kind, sae.source) == ("gated", "hf://owner/saes/blocks.3@v1")
    files = ["blocks.3/cfg.json", "blocks.3/sae_weights.safetensors"]
    assert asked == [("owner/saes", name, "v1") for name in files]
    assert load_sae("owner/saes", file="blocks.3/sae_weights.safetensors").digest == sae.digest
    asked.clear()
    assert load_sae("hf://owner/saes/layer_1").kind == "jumprelu"
    assert [name for _, name, _ in asked] == ["layer_1/cfg.json", "layer_1/params.npz"]
    assert load_sae("owner/saes", file="1200.pt").kind == "topk"
    with pytest.raises(BadInput, match=r"cannot be fetched: 404: nothing/params.npz"):
        load_sae("hf://owner/saes/nothing")
    assert load_module._REPOSITORY.fullmatch("owner/saes")
