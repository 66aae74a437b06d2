"""Folders that are refused: the message names file, row and column, and the warehouse stays as it was."""

import json

import numpy as np
import polars as pl
import pytest
from folders import tree, write_folder

from superact.errors import BadInput, BadTable, NonFinite
from superact.ingest.import_folder import import_folder
from superact.store import Warehouse


def csv(name, change):
    def act(folder):
        path = folder / f"{name}.csv"
        change(pl.read_csv(path, infer_schema=False)).write_csv(path)

    return act


def cell(name, row, column, value):
    """Put a value (text, or None) into one cell of a table."""

    def change(frame):
        values = frame[column].to_list()
        values[row] = value
        return frame.with_columns(pl.Series(column, values, pl.String))

    return csv(name, change)


def drop(name, column):
    return csv(name, lambda f: f.drop(column))


def repeat(name, row=0):
    return csv(name, lambda f: pl.concat([f, f[row : row + 1]]))


def lose(*names):
    return lambda folder: [(folder / name).unlink() for name in names]


def text(name, content):
    return lambda folder: (folder / name).write_text(content)


def protocol(**fields):
    def act(folder):
        path = folder / "protocol.json"
        kept = {k: v for k, v in {**json.loads(path.read_text()), **fields}.items() if v is not None}
        path.write_text(json.dumps(kept))

    return act


def array(change, name="embeddings_token_layer2.npy"):
    def act(folder):
        np.save(folder / name, change(np.load(folder / name)))

    return act


def put(row, value):
    def change(values):
        values[row, 1] = value
        return values

    return array(change)


def frame_as_parquet(change):
    def act(folder):
        frame = pl.read_csv(folder / "concepts.csv")
        frame = frame.with_columns(vector=pl.concat_list("v0", "v1", "v2", "v3")).drop("v0", "v1", "v2", "v3")
        change(frame).write_parquet(folder / "concepts.parquet")
        (folder / "concepts.csv").unlink()

    return act


def safetensors(content):
    def act(folder):
        from safetensors.numpy import save_file

        path = folder / "embeddings_token_layer2.safetensors"
        (folder / "embeddings_token_layer2.npy").unlink()
        path.write_bytes(content) if isinstance(content, bytes) else save_file(content, path)

    return act


def both(folder):
    pl.read_csv(folder / "tokens.csv").write_parquet(folder / "tokens.parquet")


V = "concepts.csv: vector 'blue' of avg (layer 1, unit token)"
BAD = {
    "no protocol": (lose("protocol.json"), "has no protocol.json"),
    "protocol is not JSON": (text("protocol.json", "{"), "protocol.json is not JSON"),
    "protocol is not UTF-8": (lambda f: (f / "protocol.json").write_bytes(b"\xff{}"), "protocol.json is not JSON"),
    "protocol is a list": (text("protocol.json", "[1]"), "protocol.json is not a JSON object"),
    "no dataset": (protocol(dataset=None), "protocol.json does not name the dataset"),
    "model is a number": (protocol(model=5), "protocol.json does not name the model"),
    "bad dataset slug": (protocol(dataset="Toys!"), "dataset 'Toys!' cannot be a path key"),
    "numeric slug": (protocol(model="7"), "model '7' cannot be a path key"),
    "unknown kind of embeddings": (protocol(embeddings="centred"), "embeddings is 'centred'"),
    "scores is a list": (protocol(scores=["avg"]), "scores is ['avg']"),
    "scores of an unknown set": (protocol(scores={"sae": "cosine"}), "scores names 'sae', which is no concept_set"),
    "unknown score": (protocol(scores={"avg": "dot"}), "the score of avg is 'dot'"),
    "no samples": (lose("samples.csv"), "has no samples.csv or samples.parquet"),
    "samples without rows": (csv("samples", lambda f: f[:0]), "samples.csv has no rows"),
    "samples is empty": (text("samples.csv", ""), "samples.csv cannot be read"),
    "Parquet that is none": (text("samples.parquet", "x"), "has both samples.csv and samples.parquet"),
    "two files of a table": (both, "has both tokens.csv and tokens.parquet"),
    "no split": (drop("samples", "split"), "samples.csv has no column 'split'"),
    "unknown split": (
        cell("samples", 4, "split", "dev"),
        "samples.csv, row 4 (line 6), column 'split': 'dev' is not a split",
    ),
    "empty split": (cell("samples", 4, "split", None), "samples.csv, row 4 (line 6), column 'split': is empty"),
    "unknown modality": (
        cell("samples", 1, "modality", "sound"),
        "row 1 (line 3), column 'modality': 'sound' is not a modality",
    ),
    "sample is no number": (
        cell("samples", 2, "sample", "two"),
        "row 2 (line 4), column 'sample': 'two' is not a whole number",
    ),
    "sample is a fraction": (cell("samples", 2, "sample", "2.5"), "column 'sample': '2.5' is not a whole number"),
    "sample is huge": (
        cell("samples", 2, "sample", "9999999999"),
        "column 'sample': '9999999999' is not a whole number",
    ),
    "sample is negative": (cell("samples", 2, "sample", "-2"), "row 2 (line 4), column 'sample': -2 is negative"),
    "sample is empty": (cell("samples", 2, "sample", None), "row 2 (line 4), column 'sample': is empty"),
    "sample twice": (repeat("samples"), "samples.csv, row 9 (line 11), column 'sample': 0 occurs twice"),
    "label twice": (repeat("sample_labels"), "column 'sample+label': 0, red occurs twice"),
    "label is empty": (
        cell("sample_labels", 3, "label", None),
        "sample_labels.csv, row 3 (line 5), column 'label': is empty",
    ),
    "label of no sample": (
        cell("sample_labels", 3, "sample", "99"),
        "row 3 (line 5), column 'sample': sample 99 is not in samples",
    ),
    "no labels": (lose("sample_labels.csv", "token_labels.csv"), "has neither sample_labels nor token_labels"),
    "token twice": (repeat("tokens"), "tokens.csv, row 36 (line 38), column 'sample+token': 0, 0 occurs twice"),
    "token is negative": (
        cell("tokens", 0, "token", "-1"),
        "tokens.csv, row 0 (line 2), column 'token': -1 is negative",
    ),
    "content is no flag": (
        cell("tokens", 1, "is_content", "2"),
        "row 1 (line 3), column 'is_content': '2' is not 0 or 1",
    ),
    "content is empty": (cell("tokens", 1, "is_content", None), "row 1 (line 3), column 'is_content': is empty"),
    "token of no sample": (
        cell("tokens", 1, "sample", "77"),
        "tokens.csv, row 1 (line 3), column 'sample': sample 77 is not in samples",
    ),
    "token column is no number": (
        csv("tokens", lambda f: f.with_columns(word=pl.lit("x"))),
        "column 'word': 'x' is not a whole number",
    ),
    "token label twice": (repeat("token_labels"), "token_labels.csv, row 18 (line 20), column 'sample+token+label'"),
    "label of no token": (
        cell("token_labels", 2, "token", "8"),
        "row 2 (line 4), column 'sample+token': sample 1, token 8 is not in tokens",
    ),
    "no embeddings": (
        lambda f: [path.unlink() for path in f.glob("*.npy")],
        "has no embeddings. Add embeddings_token_layer<k>.npy",
    ),
    "no index": (lose("embeddings_cls_index.csv"), "has embeddings of unit cls at layer 1 and no embeddings_cls_index"),
    "index without a row": (
        csv("embeddings_token_index", lambda f: f[:-2]),
        "has no row for content token 2 of sample 8",
    ),
    "index longer than the array": (array(lambda v: v[:-1]), "has shape (35, 4) and its index 36 rows"),
    "index with a gap": (cell("embeddings_token_index", 35, "row", "50"), "does not number its rows 0 to 35"),
    "index row twice": (
        cell("embeddings_token_index", 35, "row", "3"),
        "row 35 (line 37), column 'row': 3 occurs twice",
    ),
    "index token twice": (
        cell("embeddings_token_index", 1, "token", "0"),
        "row 1 (line 3), column 'sample+token': 0, 0 occurs twice",
    ),
    "index cls twice": (
        cell("embeddings_cls_index", 1, "sample", "0"),
        "embeddings_cls_index.csv, row 1 (line 3), column 'sample': 0 occurs",
    ),
    "index of no sample": (
        cell("embeddings_cls_index", 1, "sample", "70"),
        "column 'sample': sample 70 is not in samples",
    ),
    "index of no token": (
        cell("embeddings_token_index", 1, "token", "7"),
        "column 'sample+token': sample 0, token 7 is not in tokens",
    ),
    "array of one dimension": (array(lambda v: v[:, 0]), "has shape (36,)"),
    "array of no width": (array(lambda v: v[:, :0]), "has shape (36, 0)"),
    "array of text": (array(lambda v: v.astype(str)), "embeddings_token_layer2.npy has type <U"),
    "array that is none": (text("embeddings_token_layer2.npy", "hello"), "is not a .npy array"),
    "array without bytes": (text("embeddings_token_layer2.npy", ""), "is not a .npy array"),
    "array cut off": (
        lambda f: (f / "embeddings_token_layer2.npy").write_bytes(
            (f / "embeddings_token_layer2.npy").read_bytes()[:-9]
        ),
        "is not a .npy array",
    ),
    "array of objects": (
        lambda f: np.save(f / "embeddings_token_layer2.npy", np.array([{}], object), allow_pickle=True),
        "is not a .npy array",
    ),
    "layer twice": (
        lambda f: np.save(f / "embeddings_cls_layer01.npy", np.load(f / "embeddings_cls_layer1.npy")),
        "are both embeddings of unit cls at layer 1",
    ),
    "no train rows": (
        csv("samples", lambda f: f.with_columns(split=pl.col("split").replace({"train": "cal"}))),
        "has raw embeddings (unit cls, layer 1) and no train rows to normalise by",
    ),
    "two tensors": (safetensors({"a": np.zeros((36, 4)), "b": np.zeros((36, 4))}), "holds 2 tensors"),
    "safetensors that is none": (safetensors(b"hello"), "embeddings_token_layer2.safetensors cannot be read"),
    "no method": (drop("concepts", "method"), "concepts.csv has no column 'method'"),
    "unknown method": (
        cell("concepts", 2, "method", "pca"),
        "concepts.csv, row 2 (line 4), column 'method': 'pca' is not a method",
    ),
    "unknown unit": (cell("concepts", 2, "unit", "word"), "row 2 (line 4), column 'unit': 'word' is not a unit"),
    "bad concept_set": (cell("concepts", 2, "concept_set", "My set"), "concept_set 'My set' cannot be a path key"),
    "concept twice": (repeat("concepts"), "concepts.csv, row 16 (line 18), column 'layer+concept_set+unit+concept'"),
    "concept without a name": (cell("concepts", 5, "concept", None), "row 5 (line 7), column 'concept': is empty"),
    "concept layer is no number": (
        cell("concepts", 5, "layer", "last"),
        "column 'layer': 'last' is not a whole number",
    ),
    "concept at a layer without embeddings": (cell("concepts", 0, "layer", "9"), "at layer 9, which has no embeddings"),
    "no vector": (csv("concepts", lambda f: f.drop("v0", "v1", "v2", "v3")), "concepts.csv has no vector"),
    "vector with a gap": (drop("concepts", "v1"), "concepts.csv has v3 and no v1"),
    "vector value empty": (cell("concepts", 3, "v2", None), "concepts.csv, row 3 (line 5), column 'v2': is empty"),
    "vector value is text": (cell("concepts", 3, "v2", "x"), "row 3 (line 5), column 'v2': 'x' is not a number"),
    "vector too narrow": (drop("concepts", "v3"), f"{V} has 3 values, 3 of them finite; the embeddings have 4"),
    "vector not finite": (cell("concepts", 0, "v1", "inf"), f"{V} has 4 values, 3 of them finite"),
    "bias not finite": (cell("concepts", 1, "bias", "nan"), "row 1 (line 3), column 'bias': nan is not finite"),
    "bias is empty": (cell("concepts", 1, "bias", None), "row 1 (line 3), column 'bias': is empty"),
    "methods mixed": (
        cell("concepts", 0, "method", "kmeans"),
        "concept_set avg (layer 1, unit token) mixes the methods kmeans and avg",
    ),
    "vector of text": (
        frame_as_parquet(lambda f: f.with_columns(vector=pl.lit("x"))),
        "concepts.parquet: vector has type String",
    ),
    "vector missing": (
        frame_as_parquet(lambda f: f.with_columns(vector=pl.when(pl.col("bias") > 9).then("vector"))),
        "concepts.parquet, row 0, column 'vector': is empty",
    ),
    "vectors of two widths": (
        frame_as_parquet(
            lambda f: f.with_columns(pl.col("vector").list.head(pl.int_range(4, 4 - f.height, -1).clip(2)))
        ),
        "has 3 values, 3 of them finite; the embeddings have 4",
    ),
}


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "folder")


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_and_leaves_no_trace(folder, tmp_path, case):
    damage, message = BAD[case]
    damage(folder)
    warehouse = Warehouse(tmp_path / "warehouse")
    with pytest.raises(BadInput) as caught:
        import_folder(warehouse, folder)
    assert message in str(caught.value)
    assert caught.value.exit_code == 3
    assert not warehouse.root.exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_by_layer_and_sample(folder, tmp_path, value):
    put(22, value)(folder)
    with pytest.raises(
        NonFinite, match=r"value of embeddings_token_layer2\.npy is NaN or infinite at layer 2, sample 5"
    ):
        import_folder(Warehouse(tmp_path / "warehouse"), folder)
    assert not (tmp_path / "warehouse").exists()


def test_a_value_beyond_float32_is_not_finite(folder, tmp_path):
    array(lambda v: v.astype(np.float64) * 1e300)(folder)
    with pytest.raises(NonFinite, match="layer 2, sample 0"):
        import_folder(Warehouse(tmp_path / "warehouse"), folder)


def test_a_token_that_is_no_content_may_be_anything(folder, tmp_path):
    put(23, np.nan)(folder)
    assert import_folder(Warehouse(tmp_path / "warehouse"), folder)["published"]


def test_a_published_warehouse_stays_as_it_was(folder, tmp_path):
    warehouse = Warehouse(tmp_path / "warehouse")
    import_folder(warehouse, folder)
    before = tree(warehouse.root)
    put(0, np.nan)(folder)
    with pytest.raises(NonFinite):
        import_folder(warehouse, folder, replace=True)
    assert tree(warehouse.root) == before


def test_an_error_in_a_parquet_table_names_its_row(folder, tmp_path):
    frame = pl.read_csv(folder / "samples.csv").with_columns(sample=pl.col("sample") + 0.5)
    frame.write_parquet(folder / "samples.parquet")
    (folder / "samples.csv").unlink()
    with pytest.raises(BadTable, match=r"samples\.parquet, row 0, column 'sample': 0\.5 is not a whole number"):
        import_folder(Warehouse(tmp_path / "warehouse"), folder)


def test_no_folder_at_all(tmp_path):
    with pytest.raises(BadInput, match=r"has no protocol\.json"):
        import_folder(Warehouse(tmp_path / "warehouse"), tmp_path / "nowhere")
