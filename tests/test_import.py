"""Folders made elsewhere: what is taken, and what becomes of it."""

import json

import numpy as np
import polars as pl
import pytest
from folders import contents, tree, write_folder

import superact
from superact.errors import IdentityMismatch
from superact.ingest.import_folder import import_folder
from superact.store import Warehouse
from superact.store.maintenance import verify


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "folder")


@pytest.fixture
def warehouse(tmp_path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse")


def ask(warehouse, query: str) -> pl.DataFrame:
    session = superact.open(warehouse.root)
    try:
        return session.sql(query)
    finally:
        session.connection.close()


def edit(folder, name, change) -> None:
    path = folder / f"{name}.csv"
    change(pl.read_csv(path)).write_csv(path)


def test_what_is_returned(folder, warehouse):
    done = import_folder(warehouse, folder)
    assert done == {
        "dataset": "toys",
        "model": "tiny",
        "layers": [1, 2],
        "rows": sum(p.rows for p in warehouse.state().partitions.values()),
        "published": True,
        "notes": [],
    }


def test_rows_that_are_no_content_are_dropped(folder, warehouse):
    import_folder(warehouse, folder)
    found = ask(
        warehouse, "SELECT sample, token, embedding FROM embeddings WHERE layer = 1 AND unit = 'token' ORDER BY ALL"
    )
    values = np.load(folder / "embeddings_token_layer1.npy").reshape(9, 4, 4)[:, :3].reshape(-1, 4)
    assert found.select("sample", "token").rows() == [(s, t) for s in range(9) for t in range(3)]
    assert np.array_equal(np.array(found["embedding"].to_list(), np.float32), values)
    assert ask(warehouse, "SELECT count(*) FILTER (is_content) AS c, count(*) AS n FROM tokens").row(0) == (27, 36)


@pytest.mark.parametrize("unit", ["token", "cls"])
def test_statistics_are_those_of_train_content_rows(folder, warehouse, unit):
    import_folder(warehouse, folder)
    (row,) = ask(warehouse, f"SELECT mean, rms, n FROM layer_stats WHERE layer = 2 AND unit = '{unit}'").to_dicts()
    values = np.load(folder / f"embeddings_{unit}_layer2.npy").astype(np.float64)
    rows = values.reshape(9, 4, 4)[::3, :3].reshape(-1, 4) if unit == "token" else values[::3]
    assert row["n"] == len(rows)
    np.testing.assert_allclose(row["mean"], rows.mean(axis=0), rtol=1e-6)
    assert row["rms"] == pytest.approx(np.sqrt((rows**2).sum(axis=1).mean()), rel=1e-12)


def test_normalised_embeddings_are_taken_as_they_are(tmp_path, warehouse):
    import_folder(warehouse, write_folder(tmp_path / "n", embeddings="normalised"))
    found = ask(warehouse, "SELECT DISTINCT mean::FLOAT[] AS mean, rms FROM layer_stats")
    assert found.rows() == [([0.0] * 4, 1.0)]


def test_rows_may_stand_in_any_order(folder, warehouse, tmp_path):
    import_folder(warehouse, folder)
    rng = np.random.default_rng(5)
    for unit in ("token", "cls"):
        path = folder / f"embeddings_{unit}_index.csv"
        frame = pl.read_csv(path)
        order = rng.permutation(len(frame))
        for layer in (1, 2):
            array = folder / f"embeddings_{unit}_layer{layer}.npy"
            np.save(array, np.load(array)[order])
        frame = frame[order].with_columns(row=pl.int_range(len(frame)))
        frame[rng.permutation(len(frame))].write_csv(path)
    for name in ("samples", "sample_labels", "tokens", "token_labels", "concepts"):
        edit(folder, name, lambda f: f.sample(fraction=1, shuffle=True, seed=3))
    other = Warehouse(tmp_path / "other")
    import_folder(other, folder)
    assert contents(other.root) == contents(warehouse.root)
    assert import_folder(warehouse, folder)["published"] is False


def test_concepts(folder, warehouse):
    import_folder(warehouse, folder)
    given = pl.read_csv(folder / "concepts.csv").filter((pl.col("layer") == 1) & (pl.col("unit") == "cls"))
    found = ask(warehouse, "SELECT * FROM concepts WHERE layer = 1 AND unit = 'cls' ORDER BY concept_set, concept")
    given = given.sort("concept_set", "concept")
    vectors = given.select("v0", "v1", "v2", "v3").to_numpy().astype(np.float32)
    assert found["concept"].to_list() == given["concept"].to_list() and found["bias"].to_list() == [0.5] * 4
    assert np.array_equal(np.array(found["vector"].to_list(), np.float32), vectors)
    np.testing.assert_allclose(found["norm"], np.linalg.norm(vectors.astype(float), axis=1))
    sets = ask(warehouse, "SELECT DISTINCT concept_set, method, supervised, score FROM concept_sets ORDER BY 1").rows()
    assert sets == [("avg", "avg", True, "cosine"), ("linsep", "linsep", True, "signed_distance")]


def test_concept_sets_have_names_of_their_own(tmp_path, warehouse):
    folder = write_folder(tmp_path / "f", sets=("kmeans.k2", "kmeans.k3", "imported"), units=("token",), layers=(1,))
    protocol = json.loads((folder / "protocol.json").read_text())
    (folder / "protocol.json").write_text(json.dumps({**protocol, "scores": {"imported": "signed_distance"}}))
    import_folder(warehouse, folder)
    found = ask(warehouse, "SELECT concept_set, method, supervised, score FROM concept_sets ORDER BY 1").rows()
    assert found == [
        ("imported", "imported", True, "signed_distance"),
        ("kmeans.k2", "kmeans", False, "cosine"),
        ("kmeans.k3", "kmeans", False, "cosine"),
    ]


def test_an_imported_set_with_other_names_is_not_supervised(tmp_path, warehouse):
    folder = write_folder(tmp_path / "f", sets=("imported",), units=("token",), layers=(1,))
    edit(folder, "concepts", lambda f: f.with_columns(concept=pl.col("concept") + "!"))
    import_folder(warehouse, folder)
    assert ask(warehouse, "SELECT supervised FROM concept_sets").item() is False


def test_parquet_tables_and_list_vectors(folder, warehouse, tmp_path):
    import_folder(warehouse, folder)
    for path in folder.glob("*.csv"):
        frame = pl.read_csv(path)
        if path.stem == "concepts":
            frame = frame.with_columns(vector=pl.concat_list("v0", "v1", "v2", "v3")).drop("v0", "v1", "v2", "v3")
        if "label" in frame.columns:
            frame = frame.with_columns(pl.col("label").cast(pl.Categorical))
        frame.write_parquet(path.with_suffix(".parquet"))
        path.unlink()
    assert import_folder(warehouse, folder)["published"] is False
    frame = pl.read_parquet(folder / "concepts.parquet")
    frame.with_columns(pl.col("vector").cast(pl.Array(pl.Float32, 4))).write_parquet(folder / "concepts.parquet")
    assert import_folder(warehouse, folder)["published"] is False


def test_safetensors(folder, warehouse):
    from safetensors.numpy import save_file

    import_folder(warehouse, folder)
    for path in folder.glob("*.npy"):
        save_file({"x": np.load(path)}, path.with_suffix(".safetensors"))
        path.unlink()
    assert import_folder(warehouse, folder)["published"] is False


@pytest.mark.parametrize("kind", [np.float64, np.float16])
def test_other_floats(folder, warehouse, kind):
    values = (np.arange(36 * 4) % 17 / 4).reshape(36, 4).astype(kind)
    np.save(folder / "embeddings_token_layer1.npy", values)
    import_folder(warehouse, folder)
    found = ask(
        warehouse, "SELECT embedding FROM embeddings WHERE layer = 1 AND unit = 'token' AND sample = 0 AND token = 1"
    )
    assert found["embedding"].to_list() == [values[1].tolist()]


def test_without_tokens_every_row_is_content(folder, warehouse):
    (folder / "tokens.csv").unlink()
    done = import_folder(warehouse, folder)
    assert done["notes"] == ["no tokens table: every token of the embeddings index counts as content"]
    assert ask(warehouse, "SELECT count(*) FILTER (is_content) FROM tokens").item() == 36
    assert ask(warehouse, "SELECT count(*) FROM embeddings WHERE layer = 1 AND unit = 'token'").item() == 36


def test_without_sample_labels_a_sample_carries_those_of_its_tokens(folder, warehouse):
    (folder / "sample_labels.csv").unlink()
    done = import_folder(warehouse, folder)
    assert done["notes"] == ["no sample_labels table: a sample carries the labels of its tokens"]
    wanted = ask(warehouse, "SELECT DISTINCT sample, label FROM token_labels ORDER BY ALL").rows()
    assert ask(warehouse, "SELECT sample, label FROM sample_labels ORDER BY ALL").rows() == wanted and len(wanted) == 18


def test_without_token_labels_only_samples_carry_labels(folder, warehouse):
    (folder / "token_labels.csv").unlink()
    import_folder(warehouse, folder)
    assert ask(warehouse, "SELECT count(*) FROM token_labels").item() == 0
    assert ask(warehouse, "SELECT list(label ORDER BY label) FROM labels").item().to_list() == ["blue", "red"]
    assert len(warehouse.paths("token_labels")) == 1  # a file without rows


def test_without_concepts(tmp_path, warehouse):
    import_folder(warehouse, write_folder(tmp_path / "f", sets=()))
    assert warehouse.state().select("concepts") == [] and len(warehouse.state().select("embeddings")) == 4


def test_cls_alone(tmp_path, warehouse):
    folder = write_folder(tmp_path / "f", units=("cls",))
    for name in ("tokens", "token_labels"):
        (folder / f"{name}.csv").unlink()
    import_folder(warehouse, folder)
    assert ask(warehouse, "SELECT DISTINCT token FROM embeddings").rows() == [(-1,)]
    assert ask(warehouse, "SELECT count(*) FROM tokens").item() == 0


def test_optional_columns_are_kept(folder, warehouse):
    edit(folder, "samples", lambda f: f.with_columns(text=pl.format("text, {}", "sample"), width=7, other=pl.lit("x")))
    import_folder(warehouse, folder)
    assert ask(warehouse, "SELECT text, width, height, path FROM samples WHERE sample = 3").rows() == [
        ("text, 3", 7, None, None)
    ]


def test_labels_that_look_like_numbers_stay_text(folder, warehouse):
    for name in ("token_labels", "sample_labels"):
        edit(folder, name, lambda f: f.with_columns(label=pl.col("label").replace({"red": "007", "blue": "1.50"})))
    edit(
        folder, "concepts", lambda f: f.with_columns(concept=pl.col("concept").replace({"red": "007", "blue": "1.50"}))
    )
    import_folder(warehouse, folder)
    assert ask(warehouse, "SELECT list(DISTINCT concept ORDER BY concept) FROM concepts").item().to_list() == [
        "007",
        "1.50",
    ]
    assert ask(warehouse, "SELECT list(label ORDER BY label) FROM labels").item().to_list() == ["007", "1.50"]


def test_importing_again_changes_nothing(folder, warehouse):
    import_folder(warehouse, folder)
    before = tree(warehouse.root)
    assert import_folder(warehouse, folder) | {"rows": 0, "published": False} == import_folder(warehouse, folder)
    assert import_folder(warehouse, folder)["rows"] == 0
    assert tree(warehouse.root) == before


CHANGES = {
    "split": ("samples", lambda f: f.with_columns(split=pl.col("split").replace({"cal": "test"})), "sources"),
    "text": ("samples", lambda f: f.with_columns(text=pl.lit("new")), "sources"),
    "token": ("tokens", lambda f: f.with_columns(text=pl.lit("new")), "tokens"),
    "positive": ("token_labels", lambda f: f[1:], "label:"),
    "vector": ("concepts", lambda f: f.with_columns(v0=pl.col("v0") + 1), "label:"),
    "bias": ("concepts", lambda f: f.with_columns(bias=pl.col("bias") + 1), "label:"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_content_is_refused_without_replace(folder, warehouse, change, tmp_path):
    import_folder(warehouse, folder)
    before = contents(warehouse.root)
    name, edited, field = CHANGES[change]
    edit(folder, name, edited)
    with pytest.raises(IdentityMismatch, match=field):
        import_folder(warehouse, folder)
    assert contents(warehouse.root) == before
    assert import_folder(warehouse, folder, replace=True)["published"]
    fresh = Warehouse(tmp_path / "fresh")
    import_folder(fresh, folder)
    assert contents(warehouse.root) == contents(fresh.root) != before
    assert [finding for _, finding in verify(warehouse) if finding] == []


def test_changed_embeddings_are_refused_without_replace(folder, warehouse):
    import_folder(warehouse, folder)
    values = np.load(folder / "embeddings_token_layer2.npy")
    values[0, 0] += 1
    np.save(folder / "embeddings_token_layer2.npy", values)
    with pytest.raises(IdentityMismatch, match="embeddings dataset=toys model=tiny layer=2 unit=token is published"):
        import_folder(warehouse, folder)


def test_a_label_more_is_no_change(folder, warehouse):
    import_folder(warehouse, folder)
    labels = pl.read_csv(folder / "token_labels.csv")
    more = labels[:3].with_columns(label=pl.lit("green"))
    for name in ("token_labels", "sample_labels"):
        edit(folder, name, lambda f: pl.concat([f, more.select(f.columns).unique()]))
    edit(folder, "concepts", lambda f: pl.concat([f, f[:1].with_columns(concept=pl.lit("green"))]))
    assert import_folder(warehouse, folder)["published"]
    assert ask(warehouse, "SELECT list(label ORDER BY label) FROM labels").item().to_list() == ["blue", "green", "red"]
    assert warehouse.state().get("tokens", dataset="toys", model="tiny").generation == 1


def name(folder, **fields):
    """The folder with fields of its protocol changed."""
    path = folder / "protocol.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return folder


@pytest.mark.parametrize("table", ["dataset", "model"])
def test_two_display_names_of_one_slug_are_refused(folder, warehouse, table):
    import_folder(warehouse, name(folder, **{f"{table}_name": "One Name"}))
    before = tree(warehouse.root)
    with pytest.raises(IdentityMismatch, match=f"{table}s {table}=.* name: One Name -> Other Name"):
        import_folder(warehouse, name(folder, **{f"{table}_name": "Other Name"}))
    assert tree(warehouse.root) == before
    import_folder(warehouse, folder, replace=True)
    assert ask(warehouse, f"SELECT name FROM {table}s").rows() == [("Other Name",)]


def test_a_model_of_another_width_is_refused(folder, warehouse, tmp_path):
    import_folder(warehouse, folder)
    wider = name(write_folder(tmp_path / "wider", width=8), dataset="pets")
    with pytest.raises(IdentityMismatch, match=r"models model=tiny .* width: 4 -> 8"):
        import_folder(warehouse, wider)


def test_a_dataset_with_two_models_and_a_model_with_two_datasets(folder, warehouse, tmp_path):
    import_folder(warehouse, name(folder, dataset_name="Toys", model_name="Tiny"))
    second = write_folder(tmp_path / "second", width=8)
    import_folder(warehouse, name(second, dataset_name="Toys", model="large", model_name="Large"))
    third = write_folder(tmp_path / "third", seed=1)
    import_folder(warehouse, name(third, dataset="pets", model_name="Tiny"))
    assert ask(warehouse, "SELECT dataset, name FROM datasets ORDER BY ALL").rows() == [
        ("pets", "pets"),
        ("toys", "Toys"),
    ]
    assert ask(warehouse, "SELECT model, name, width FROM models ORDER BY ALL").rows() == [
        ("large", "Large", 8),
        ("tiny", "Tiny", 4),
    ]


def test_another_layer_is_added(tmp_path, warehouse):
    import_folder(warehouse, write_folder(tmp_path / "a", layers=(1,)))
    import_folder(warehouse, write_folder(tmp_path / "b", layers=(3,), seed=4))
    assert ask(warehouse, "SELECT DISTINCT layer FROM embeddings ORDER BY 1").rows() == [(1,), (3,)]


def test_replacing_the_tokens_takes_what_was_made_from_them_along(tmp_path, warehouse):
    import_folder(warehouse, write_folder(tmp_path / "a", layers=(1, 2)))
    import_folder(warehouse, write_folder(tmp_path / "b", layers=(1,), samples=12), replace=True)
    assert ask(warehouse, "SELECT DISTINCT layer FROM embeddings").rows() == [(1,)]
    assert ask(warehouse, "SELECT DISTINCT layer FROM concepts").rows() == [(1,)]


def test_the_golden_folders(golden, warehouse):
    for corpus in ("text", "img224"):
        done = import_folder(warehouse, golden / corpus / "inputs")
        assert done["dataset"] == corpus and done["published"] and len(done["layers"]) == 2
    counts = ask(warehouse, "SELECT dataset, count(*) AS n FROM tokens GROUP BY ALL ORDER BY ALL").rows()
    assert counts == [("img224", 5120), ("text", 735)]
