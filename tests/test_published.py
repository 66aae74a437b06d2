"""The published layout: every file's name, columns and values against the metric tables, the folder, and what is refused."""

from __future__ import annotations

import ast
import errno
import math
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from folders import write_folder
from typer.testing import CliRunner, Result

import superact
from superact.cli.main import app
from superact.errors import BadInput, MissingTable, NotEnoughDisk
from superact.metrics.evaluate import Protocol, evaluate
from superact.published import export, export_published
from superact.published.names import PERCENTS, con_label, folder_name, layer_at, percent_of, short_name, stem_of
from superact.published.sets import ConceptSet, check_distinct
from superact.query import Session
from superact.store import Warehouse
from superact.store.rows import from_columns

DELTAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
BASELINES = {
    "maxtoken": "max_token",
    "meantoken": "mean_token",
    "lasttoken": "last_token",
    "randomtoken": "random_token",
}
METRICS = ["concept", "precision", "recall", "accuracy", "f1", "fpr", "tpr", "tnr", "fnr", "tp", "tn", "fp", "fn"]
COUNTS = ["tp", "fp", "tn", "fn", "precision", "recall", "f1", "accuracy"]
LABELS = ("it's", "no cal", "no test", 'red, "dark"')
STEMS = {
    ("avg", "token"): "tiny_avg_patch_embeddings",
    ("avg", "cls"): "tiny_avg_cls_embeddings",
    ("linsep", "token"): "tiny_linsep_patch_embeddings_BD_True_BN_False",
    ("linsep", "cls"): "tiny_linsep_cls_embeddings_BD_True_BN_False",
    ("kmeans", "token"): "tiny_kmeans_4_patch_embeddings_kmeans",
    ("kmeans", "cls"): "tiny_kmeans_4_cls_embeddings_kmeans",
}
LAYERS = (1, 2)
PANDAS = find_spec("pandas") is not None
"""Optional: with it the frames are pickled, too."""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments: str | Path) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result


def imported(folder: Path, **shape: Any) -> Path:
    """A warehouse of a small folder: one label has no cal positive, another no test positive."""
    source = write_folder(folder / "source", samples=24, labels=LABELS, **shape)
    # Without this every sample would carry every label: a third to a half of them lose each.
    number = pl.col("label").replace_strict({label: i for i, label in enumerate(LABELS)}, return_dtype=pl.Int64)
    split = pl.col("sample") % 3
    gone = ((pl.col("sample") // 3 + number) % (2 + number % 2) == 0) | (
        ((pl.col("label") == "no cal") & (split == 1)) | ((pl.col("label") == "no test") & (split == 2))
    )
    for table in ("token_labels", "sample_labels"):
        pl.read_csv(source / f"{table}.csv").filter(~gone).write_csv(source / f"{table}.csv")
    done("import", source, "--warehouse", folder / "warehouse")
    done("score", "--warehouse", folder / "warehouse", "--device", "cpu", "--keep", "all")
    return folder / "warehouse"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(folder / "cache"))
        warehouse = imported(folder, sets=("avg", "linsep", "kmeans"))
        done("eval", "--warehouse", warehouse, "--replicates", "20")
        yield warehouse


@pytest.fixture(scope="module")
def session(root: Path) -> Iterator[Session]:
    session = superact.open(root)
    yield session
    session.connection.close()


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    out = root.parent / "out"
    said = done("export", "--layout", "published", "--warehouse", root, "--out", out)
    assert said.stdout == ""
    files = sum(path.is_file() for path in out.rglob("*"))
    assert (
        said.stderr.splitlines()[-1]
        == f"wrote {files:,} files of 12 concept sets to {out}; README.txt says what differs"
    )
    assert (len(said.stderr.splitlines()) == 1) == PANDAS
    return out


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))


def load(path: Path) -> Any:
    return torch.load(path, weights_only=False)


def read(path: Path) -> pl.DataFrame:
    # Every column as it is typed, and an empty text is no missing value.
    return pl.read_csv(
        path, infer_schema_length=None, schema_overrides={"concept": pl.String, "best_cluster": pl.String}
    )


def where(method: str, unit: str, layer: int | None, **more: str) -> str:
    keys = {"concept_set": method, **more} | ({"unit": unit} if unit else {})
    conditions = [f"{name} = '{value}'" for name, value in keys.items()]
    return " AND ".join(conditions if layer is None else [*conditions, f"layer = {layer}"])


def regular(unit: str) -> str:
    return "superactivator" if unit == "token" else "cls"


CONS = [
    (method, unit, layer, f"{stem}_percentthrumodel_{layer}")
    for (method, unit), stem in STEMS.items()
    for layer in LAYERS
]


def names_of(method: str, unit: str, con: str) -> set[str]:
    """The names that do not depend on what was chosen."""
    thresholds, quant = "Thresholds/toys/", "Quant_Results/toys/"
    own = BASELINES if unit == "token" else {}
    found = {f"Best_Detection_Percentiles_Cal/toys/best_percentiles_{con}.{end}" for end in ("pt", "csv")}
    found |= {f"{quant}{m}_best_percentiles_{con}.pt" for m in own}
    if method == "kmeans":
        found |= {f"{thresholds}{m}all_percentiles_allpairs_{con}.pt" for m in ("", *(f"{m}_" for m in own))}
        for split in ("", "_cal"):
            found |= {
                f"Unsupervised_Matches/toys/bestdetects_{m}{con}{split}.pt" for m in ("", *(f"{m}_" for m in own))
            }
            for n in DELTAS:
                found |= {
                    f"{quant}detectionmetrics_{m}allpairs_per_{n}_{con}{split}.csv"
                    for m in ("", *(f"{m}_" for m in own))
                }
                found |= {f"{quant}detectionmetrics_per_{n}_{con}{split}.csv"}
                found |= {f"{quant}detectfirst_{m}_per_{n}_{con}{split}.csv" for m in own}
    else:
        found |= {f"{thresholds}{m}all_percentiles_{con}.pt" for m in ("", *(f"{m}_" for m in own))}
        found |= {f"{thresholds}per_{n}_{con}_{m}.pt" for m in own for n in PERCENT_NAMES}
        found |= {f"{quant}detectfirst_{m}_{split}_{con}.csv" for m in own for split in ("test", "cal")}
        for split in ("", "_cal"):
            found |= {
                f"{quant}detectionmetrics_per_{n}_{con}{split}.{end}"
                for n in DELTAS
                for end in (("pt", "csv") if PANDAS else ("csv",))
            }
    if unit == "token":
        found |= {f"{quant}optimal_test_results_{m}{con}_f1.pt" for m in ("", "twostage_superpatch_")}
        found |= {
            f"Best_Inversion_Percentiles_Cal/toys/best_inversion_percentiles_{m}{con}.pt"
            for m in ("", "twostage_superpatch_")
        }
        found |= {f"{quant}twostage_superpatch_avg_{con}_optimal_test.csv"}
        found |= {f"{quant}twostage_superdetector_invert_{q}_avg_{con}_cal.pt" for q in DELTAS}
        found |= {
            f"activation_distributions/toys/activation_distributions_{con}_{mode}.pt"
            for mode in ("test", "with_concept_test", "with_patch_level_test")
        }
    return found


PERCENT_NAMES = ("2.0", "5.0", "10.0", "20.0", "30.0", "40.0", "50.0", "60.0", "70.0", "80.0", "90.0", "95.0")
CHOSEN = re.compile(
    r"Quant_Results/toys/(detectfirst_[\d.]+_invert_[\d.]+_|twostage_superdetector_invert_[\d.]+_avg_)tiny_.*[12](_test)?\.pt"
)
"""Files of the deltas and quantiles that some concept chose."""


def test_every_file_has_its_published_name_and_there_is_no_other(folder: Path) -> None:
    wanted = {"README.txt"}
    for method, unit, _, con in CONS:
        wanted |= names_of(method, unit, con)
    for (_, unit), stem in STEMS.items():
        for end in ("", *(f"_{m}" for m in BASELINES if unit == "token")):
            wanted |= {
                f"Per_Concept_PTM_Optimization/toys/optimal_ptm_{k}_{stem}{end}.csv" for k in ("results", "aggregate")
            }
    wanted |= {
        f"Quant_Results/toys/inversion_{kind}_tiny_patch_baseline.csv"
        for kind in ("random", "always_positive", "always_negative")
    }
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    chosen = {name for name in found if CHOSEN.fullmatch(name) and name not in wanted}
    assert found - chosen == wanted
    assert any("detectfirst" in name for name in chosen)
    assert any(name.endswith("_test.pt") for name in chosen)


def test_dictionaries_load_without_trusting_the_file(folder: Path) -> None:
    paths = [path for path in folder.rglob("*.pt") if "/detectionmetrics_per_" not in path.as_posix()]
    assert len(paths) > 200
    for path in paths:
        assert isinstance(torch.load(path, weights_only=True), dict)


@pytest.mark.parametrize(("method", "unit", "layer", "con"), CONS)
def test_thresholds(folder: Path, session: Session, method: str, unit: str, layer: int, con: str) -> None:
    pairs = "" if method != "kmeans" else "_allpairs"
    detectors = {"": regular(unit), **({f"{m}_": name for m, name in BASELINES.items()} if unit == "token" else {})}
    for prefix, detector in detectors.items():
        rows = session.sql(
            f"SELECT * FROM thresholds WHERE {where(method, unit, layer, detector=detector)} AND threshold IS NOT NULL"
        )
        found = load(folder / f"Thresholds/toys/{prefix}all_percentiles{pairs}_{con}.pt")
        assert tuple(found) == DELTAS
        assert sum(map(len, found.values())) == len(rows) > 0
        for row in rows.iter_rows(named=True):
            threshold, second = found[row["delta"]][row["label"] if not pairs else (row["label"], row["concept"])]
            assert threshold == row["threshold"]
            assert second == 0 if not (pairs or prefix) else math.isnan(second)
        labels = {key[0] if pairs else key for own in found.values() for key in own}
        assert labels == {"it's", "no test", 'red, "dark"'}
        if prefix and not pairs:
            for number, delta in zip(PERCENT_NAMES, DELTAS, strict=True):
                own = load(folder / f"Thresholds/toys/per_{number}_{con}_{prefix[:-1]}.pt")
                assert {name: tau for name, (tau, _) in own.items()} == {
                    name: tau for name, (tau, _) in found[delta].items()
                }


def detection_rows(session: Session, split: str, condition: str) -> pl.DataFrame:
    """Rows of detection that a published table has, with its columns."""
    rows = session.sql(
        f"SELECT d.*, t.threshold FROM detection AS d JOIN thresholds AS t USING"
        f" (dataset, model, layer, concept_set, unit, detector, label, concept, delta) WHERE {condition} AND split = '{split}'"
    )
    rows = rows.filter(pl.col("tp") + pl.col("fn") > 0)
    tn, fp, fn, tp = (pl.col(name) for name in ("tn", "fp", "fn", "tp"))
    rates = {
        "tpr": tp / (tp + fn),
        "tnr": pl.when(tn + fp > 0).then(tn / (tn + fp)).otherwise(0.0),
        "fnr": fn / (fn + tp),
    }
    return rows.with_columns(**rates, n_detected=tp + fp, n_gt_positive=tp + fn).drop("run")


def assert_rows(found: pl.DataFrame, wanted: pl.DataFrame, keys: list[str]) -> None:
    """Equal columns, rows and values, whatever the order of the rows."""
    assert len(found) == len(wanted)
    found, wanted = found.sort(keys), wanted.select(found.columns).sort(keys)
    for name in found.columns:
        assert found[name].to_list() == wanted[name].to_list(), name


@pytest.mark.parametrize("split", ["test", "cal"])
@pytest.mark.parametrize(("method", "unit", "layer", "con"), [c for c in CONS if c[0] != "kmeans"])
def test_detection_of_supervised_sets(
    folder: Path, session: Session, method: str, unit: str, layer: int, con: str, split: str
) -> None:
    quant, suffix = folder / "Quant_Results/toys", "" if split == "test" else "_cal"
    rows = detection_rows(session, split, where(method, unit, layer, detector=regular(unit)))
    labels = {"it's", 'red, "dark"'} | ({"no test"} if split == "cal" else set())
    assert set(rows["label"]) == labels
    for delta in DELTAS:
        table = read(quant / f"detectionmetrics_per_{delta}_{con}{suffix}.csv")
        assert table.columns == METRICS
        assert_rows(table, rows.filter(pl.col("delta") == delta), ["concept"])
        if PANDAS:
            frame = load(quant / f"detectionmetrics_per_{delta}_{con}{suffix}.pt")
            assert list(frame.columns) == METRICS
            assert frame.columns.dtype == frame["concept"].dtype == object
            assert list(map(tuple, frame.values.tolist())) == table.rows()
    for name, detector in BASELINES.items() if unit == "token" else ():
        table = read(quant / f"detectfirst_{name}_{split}_{con}.csv")
        columns = ["concept", "percentile", "threshold", "precision", "recall", "f1", "tp", "fp", "fn"]
        assert table.columns == [*columns, "n_detected", "n_gt_positive"]
        own = detection_rows(session, split, where(method, unit, layer, detector=detector))
        assert_rows(table, own.rename({"delta": "percentile"}), ["percentile", "concept"])


@pytest.mark.parametrize("split", ["test", "cal"])
@pytest.mark.parametrize(("method", "unit", "layer", "con"), [c for c in CONS if c[0] == "kmeans"])
def test_detection_of_clusters(
    folder: Path, session: Session, method: str, unit: str, layer: int, con: str, split: str
) -> None:
    quant, suffix = folder / "Quant_Results/toys", "" if split == "test" else "_cal"
    detectors = {"": regular(unit), **(BASELINES if unit == "token" else {})}
    for name, detector in detectors.items():
        condition = where(method, unit, layer, detector=detector)
        rows = detection_rows(session, split, condition)
        matches = session.sql(f"SELECT label, concept FROM selection WHERE {condition} AND concept IS NOT NULL")
        assert len(matches) == 3
        chosen = rows.join(matches, on=["label", "concept"], how="semi").with_columns(concept=pl.col("label"))
        assert len(rows) == len(chosen) if split == "test" else len(rows) == 4 * len(chosen)
        for delta in DELTAS:
            prefix = f"{name}_" if name else ""
            table = read(quant / f"detectionmetrics_{prefix}allpairs_per_{delta}_{con}{suffix}.csv")
            assert table.columns == METRICS
            pairs = [ast.literal_eval(cell) for cell in table["concept"]]
            own = rows.filter(pl.col("delta") == delta)
            assert sorted(pairs) == sorted(own.select("label", "concept").rows())
            cells = [str(pair) for pair in own.select("label", "concept").rows()]
            assert_rows(table, own.with_columns(concept=pl.Series(cells)), ["concept"])
            stem = f"detectfirst_{name}" if name else "detectionmetrics"
            table = read(quant / f"{stem}_per_{delta}_{con}{suffix}.csv")
            assert table.columns == METRICS
            assert_rows(table, chosen.filter(pl.col("delta") == delta), ["concept"])


@pytest.mark.parametrize(("method", "unit", "layer", "con"), CONS)
def test_choices(folder: Path, session: Session, method: str, unit: str, layer: int, con: str) -> None:
    def chosen(detector: str) -> list[dict[str, Any]]:
        condition = where(method, unit, layer, detector=detector)
        rows = session.sql(f"SELECT * FROM selection WHERE {condition} AND concept IS NOT NULL ORDER BY label")
        assert rows["label"].to_list() == ["it's", "no test", 'red, "dark"']
        return rows.to_dicts()

    rows = chosen(regular(unit))
    best = folder / f"Best_Detection_Percentiles_Cal/toys/best_percentiles_{con}"
    keys = {"best_percentile": "delta", "best_f1": "f1_cal", "best_threshold": "threshold"}
    keys |= {"best_cluster": "concept"} if method == "kmeans" else {}
    assert load(best.with_suffix(".pt")) == {
        row["label"]: {name: row[own] for name, own in keys.items()} for row in rows
    }
    table = read(best.with_suffix(".csv"))
    assert table.columns == ["concept", "best_percentile", "best_f1", "best_threshold", "best_cluster"]
    cluster = "concept" if method == "kmeans" else None
    assert table.rows() == [
        (row["label"], row["delta"], row["f1_cal"], row["threshold"], row[cluster] if cluster else "N/A")
        for row in rows
    ]
    for name, detector in BASELINES.items() if unit == "token" else ():
        own = load(folder / f"Quant_Results/toys/{name}_best_percentiles_{con}.pt")
        assert own == {
            "best_percentiles": {row["label"]: row["delta"] for row in chosen(detector)},
            "best_f1_scores": {row["label"]: row["f1_cal"] for row in chosen(detector)},
            "percentiles_evaluated": list(DELTAS),
            "sample_type": "patch",
        }
    if method == "kmeans":
        for name, detector in {"": regular(unit), **(BASELINES if unit == "token" else {})}.items():
            stem = folder / f"Unsupervised_Matches/toys/bestdetects_{name + '_' if name else ''}{con}"
            cal, test = load(Path(f"{stem}_cal.pt")), load(Path(f"{stem}.pt"))
            for row in chosen(detector):
                same = {"best_cluster": row["concept"], "best_percentile": row["delta"]}
                assert cal.pop(row["label"]) == {**same, "best_score": row["f1_cal"]}
                score = test[row["label"]].pop("best_score")
                assert test.pop(row["label"]) == same
                if row["label"] == "no test":
                    assert math.isnan(score)
                else:
                    condition = (
                        f"{where(method, unit, layer, detector=detector)} AND delta = {row['delta']} AND split = 'test'"
                    )
                    found = session.sql(f"SELECT label, f1 FROM detection WHERE {condition}")
                    assert score == dict(found.rows())[row["label"]]
            assert cal == test == {}


@pytest.mark.parametrize(("method", "unit", "layer", "con"), [c for c in CONS if c[1] == "token"])
def test_localization(folder: Path, session: Session, method: str, unit: str, layer: int, con: str) -> None:
    quant, best = folder / "Quant_Results/toys", folder / "Best_Inversion_Percentiles_Cal/toys"

    def rows(localizer: str, split: str) -> list[dict[str, Any]]:
        condition = where(method, "", layer, localizer=localizer, split=split)
        found = session.sql(f"SELECT * FROM localization WHERE {condition} ORDER BY label, quantile").to_dicts()
        # The published N is the share that is kept; table localization has the level of its quantile.
        for row in found:
            kept = round(1 - row["quantile"], 2)
            row["invert"] = kept if localizer == "concept_vector" else row["quantile"]
        return found

    def counts(row: dict[str, Any]) -> dict[str, Any]:
        return {name: row[name] for name in COUNTS}

    taus = session.sql(
        f"SELECT label, delta, concept, threshold FROM thresholds WHERE {where(method, unit, layer, detector='superactivator')}"
    ).rows()
    taus = {(label, delta, concept): tau for label, delta, concept, tau in taus}
    files: dict[str, dict[str, Any]] = {}
    for row in rows("concept_vector", "cal"):
        assert row["invert"] >= row["delta"]
        files.setdefault(f"detectfirst_{row['delta']}_invert_{row['invert']}_{con}.pt", {})[row["label"]] = counts(row)
    for split in ("cal", "test"):
        for row in rows("superactivator_global", split):
            name = f"twostage_superdetector_invert_{row['invert']}_avg_{con}_{split}.pt"
            files.setdefault(name, {})[row["label"]] = counts(row)
    prefixes = ("detectfirst_0", "twostage_superdetector")
    assert {path.name for path in quant.glob(f"*{con}*") if path.name.startswith(prefixes)} == set(files)
    for name, content in files.items():
        assert load(quant / name) == content
    for localizer, prefix in (("concept_vector", ""), ("superactivator_global", "twostage_superpatch_")):
        final = load(quant / f"optimal_test_results_{prefix}{con}_f1.pt")
        choices = load(best / f"best_inversion_percentiles_{prefix}{con}.pt")
        test = rows(localizer, "test")
        assert set(final) == set(choices) == {row["label"] for row in test} == {"it's", "no test", 'red, "dark"'}
        cal = {(row["label"], row["quantile"]): row for row in rows(localizer, "cal")}
        for row in test:
            own = {"invert_percentile": row["invert"]}
            own |= {"detect_percentile": row["delta"]} if not prefix else {}
            assert final[row["label"]] == counts(row) | own
            choice = choices[row["label"]]
            assert choice["best_percentile"] == row["invert"]
            assert choice["best_f1"] == cal[row["label"], row["quantile"]]["f1"]
            assert choice["best_f1"] == max(other["f1"] for key, other in cal.items() if key[0] == row["label"])
            assert set(choice) == {"best_percentile", "best_f1"} | ({"best_threshold"} if not prefix else set())
            if not prefix:
                tau, second = choice["best_threshold"]
                assert tau == taus[row["label"], row["invert"], row["concept"]]
                assert math.isnan(second) if method == "kmeans" else second == 0
    table = read(quant / f"twostage_superpatch_avg_{con}_optimal_test.csv")
    assert table.columns == ["concept", *COUNTS, "invert_percentile"]
    assert {row.pop("concept"): row for row in table.to_dicts()} == load(
        quant / f"optimal_test_results_twostage_superpatch_{con}_f1.pt"
    )


def test_floors(folder: Path, session: Session) -> None:
    for floor, name in {"random": "random", "always": "always_positive", "never": "always_negative"}.items():
        table = read(folder / f"Quant_Results/toys/inversion_{name}_tiny_patch_baseline.csv")
        assert table.columns == METRICS
        rows = session.sql(
            f"SELECT DISTINCT label AS concept, tp, fp, fn, tn FROM localization WHERE localizer = '{floor}' AND split = 'test'"
        )
        assert_rows(table.select("concept", "tp", "fp", "fn", "tn"), rows, ["concept"])
        assert len(table) == 3
        if floor == "always":
            assert table["recall"].to_list() == table["tpr"].to_list() == [1.0, 0.0, 1.0]  # "no test" has no positive
            assert table["fnr"].to_list() == table["tnr"].to_list() == [0.0] * 3
            assert table["fpr"].to_list() == [1.0] * 3


@pytest.mark.parametrize(("method", "unit"), STEMS)
def test_layers(folder: Path, session: Session, method: str, unit: str) -> None:
    out = folder / "Per_Concept_PTM_Optimization/toys"
    for name, detector in {"": regular(unit), **(BASELINES if unit == "token" else {})}.items():
        stem = STEMS[method, unit] + (f"_{name}" if name else "")
        table = read(out / f"optimal_ptm_results_{stem}.csv")
        columns = ["concept", "best_ptm", "best_percentile", "f1_cal", "f1_test", "precision_test", "recall_test"]
        assert table.columns == [*columns, "n_gt_positive"]
        condition = where(method, unit, None, detector=detector)
        rows = session.sql(f"SELECT * FROM layer_selection WHERE {condition} AND layer IS NOT NULL ORDER BY label")
        assert table["concept"].to_list() == rows["label"].to_list() == ["it's", "no test", 'red, "dark"']
        wanted = rows.rename({"layer": "best_ptm", "delta": "best_percentile", "n_positive": "n_gt_positive"})
        for column in table.columns[1:]:
            expected = wanted[column].to_list()
            if column.endswith("_test"):
                assert expected[1] == 0.0
                expected[1] = None  # nothing to measure: an empty cell, not a zero in an average
            assert table[column].to_list() == expected, column
        summary = session.sql(f"SELECT * FROM summary WHERE {condition} AND layer_choice = 'best'").to_dicts()[0]
        aggregate = read(out / f"optimal_ptm_aggregate_{stem}.csv").to_dicts()
        assert aggregate == [
            {
                **{f"weighted_{m}": summary[m] for m in ("f1", "precision", "recall")},
                "weighted_f1_se": (summary["ci_high"] - summary["ci_low"]) / 2,
                **dict.fromkeys(("weighted_precision_se", "weighted_recall_se")),
                **{
                    f"{kind}_{m}": summary[f"{kind}_{m}"]
                    for kind in ("macro", "micro")
                    for m in ("f1", "precision", "recall")
                },
                "n_concepts": 2,
            }
        ]


@pytest.mark.parametrize(("method", "unit", "layer", "con"), [c for c in CONS if c[1] == "token"])
def test_distributions(folder: Path, session: Session, method: str, unit: str, layer: int, con: str) -> None:
    rows = session.sql(f"SELECT * FROM distributions WHERE {where(method, '', layer)} ORDER BY label, bin")
    carried = (
        "SELECT label, count(*) FROM sample_labels JOIN samples USING (sample) WHERE split = 'test' GROUP BY label"
    )
    carriers = dict(session.sql(carried).rows())
    stem = f"{folder}/activation_distributions/toys/activation_distributions_{con}_"
    modes = ("test", "with_concept_test", "with_patch_level_test")
    without, whole, parts = (load(Path(f"{stem}{mode}.pt")) for mode in modes)
    assert set(without) == set(whole) == set(parts) == set(rows["label"])
    for label in without:
        own = {
            population: frame for (population,), frame in rows.filter(pl.col("label") == label).group_by("population")
        }
        counts = {population: torch.tensor(frame["n"].to_list()) for population, frame in own.items()}
        first = own["in_concept"]
        common = {"activation_range": (first["lo"][0], first["hi"][99]), "num_bins": 100}
        n_with = carriers.get(label, 0)

        def entry(n: torch.Tensor, samples: int, **facts: Any) -> dict[str, Any]:
            total = int(n.sum())
            return {"n": n, "num_samples": samples, "total_patches": total, **common, **facts}  # noqa: B023

        inside, beside = counts["in_concept"], counts["in_sample_not_token"]
        assert_histogram(without[label], entry(counts["out_of_concept"], 8 - n_with, contains_concept=False))
        with_label = entry(inside + beside, n_with, contains_concept=True)
        assert_histogram(whole[label], dict(with_label))
        found = dict(parts[label])
        for name, n, contains in (("patch_with_concept", inside, True), ("patch_without_concept", beside, False)):
            if n.sum():
                wanted = entry(n, n_with, contains_concept=True, patch_contains_concept=contains)
                assert_histogram(found.pop(name), wanted)
            assert name not in found
        assert_histogram(found, dict(with_label))


def assert_histogram(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    masses, n = found.pop("mean_distribution"), wanted.pop("n")
    assert (masses.dtype, masses.shape) == (torch.float32, (100,))
    assert torch.equal(masses, (n.double() / max(int(n.sum()), 1)).float())
    assert found == wanted


def test_the_readme_says_what_is_what(folder: Path, session: Session) -> None:
    text = (folder / "README.txt").read_text(encoding="utf-8")
    for method, unit, layer, con in CONS:
        score = "cosine" if method != "linsep" else "signed_distance"
        facts = f"dataset toys, model tiny, layer {layer}, concept_set {method}, unit {unit}; method {method}, score {score}"
        assert f"toys: {con}\n    {facts}, T unknown\n" in text
    runs = session.sql("SELECT run FROM runs WHERE stage = 'eval'")["run"].to_list()
    assert len(runs) == 1
    assert re.search(rf"^{runs[0]}  eval  .*superact {superact.__version__}", text, flags=re.MULTILINE)
    assert f"written by superact {superact.__version__} " in text
    assert "divided by the norm of the concept vector" in text
    assert ("Missing or stale" not in text) == PANDAS


# Which sets, and what is missing.


def test_filters_narrow_the_sets(root: Path, tmp_path: Path, cache: None) -> None:
    out = tmp_path / "out"
    filters = ["--dataset", "toys", "--model", "tiny", "--layers", "2", "--concept-set", "avg", "--unit", "cls"]
    said = done("export", "--layout", "published", "--warehouse", root, "--out", out, *filters).stderr
    con = "tiny_avg_cls_embeddings_percentthrumodel_2"
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    layers = {
        f"Per_Concept_PTM_Optimization/toys/optimal_ptm_{kind}_tiny_avg_cls_embeddings.csv"
        for kind in ("results", "aggregate")
    }
    assert found == names_of("avg", "cls", con) | layers | {"README.txt"}
    assert said.endswith(f"wrote {len(found)} files of 1 concept set to {out}; README.txt says what differs\n")


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        (["--dataset", "toy"], "There is no dataset 'toy'. The nearest: toys."),
        (["--model", "tinny"], "There is no model 'tinny'. The nearest: tiny."),
        (["--layers", "7"], "There is no layer 7. The nearest: 1, 2."),
        (["--concept-set", "kmean"], "There is no concept set 'kmean'. The nearest: kmeans."),
        (["--unit", "clss"], "There is no unit 'clss'. The nearest: cls."),
    ],
)
def test_unknown_names_suggest_the_nearest(
    root: Path, tmp_path: Path, cache: None, filters: list[str], said: str
) -> None:
    result = run("export", "--layout", "published", "--warehouse", root, "--out", tmp_path / "out", *filters)
    assert (result.exit_code, result.stdout, result.stderr) == (3, "", f"error: {said}\n")
    assert not (tmp_path / "out").exists()


def test_what_was_not_evaluated_is_named(tmp_path: Path, cache: None) -> None:
    warehouse = imported(tmp_path, sets=("avg",), layers=(1, 2))
    session = superact.open(warehouse)
    with pytest.raises(MissingTable, match=re.escape("needs selection of layer [1], and the warehouse")) as raised:
        export_published(session, tmp_path / "out", layer=[1])
    assert "Run `superact eval` first." in str(raised.value)
    assert not (tmp_path / "out").exists()
    done("eval", "detect", "--warehouse", warehouse, "--layers", "1", "--replicates", "10")
    exported = export_published(session, tmp_path / "out")
    assert exported.sets == 2
    assert sorted(line for line in exported.notes if not line.startswith("pandas")) == [
        "toys tiny 1 avg has no distributions, hence no activation_distributions: run superact eval distributions",
        "toys tiny 1 avg has no localization, hence no localization files: run superact eval localize",
        "toys tiny 1 avg has no localization_scores, hence no twostage_* files: run superact eval localize,"
        " with the embeddings kept",
        "toys tiny 2 avg cls was not evaluated: run superact eval",
        "toys tiny 2 avg token was not evaluated: run superact eval",
        "toys tiny avg cls has no layer_selection, hence no Per_Concept_PTM_Optimization: run superact eval layers",
        "toys tiny avg token has no layer_selection, hence no Per_Concept_PTM_Optimization: run superact eval layers",
    ]
    readme = (tmp_path / "out/README.txt").read_text(encoding="utf-8")
    assert all(f"* {line}\n" in readme for line in exported.notes)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("README.txt", "Thresholds", "Quant_Results", "Best_Detection_Percentiles_Cal")
    }
    assert not list((tmp_path / "out").rglob("*invert*"))
    session.connection.close()


def test_sets_of_one_published_name_are_refused(tmp_path: Path, cache: None) -> None:
    warehouse = imported(tmp_path, sets=("avg", "avg.two"), layers=(1,), units=("cls",))
    done("eval", "detect", "--warehouse", warehouse)
    session = superact.open(warehouse)
    both = "toys tiny 1 avg cls and toys tiny 1 avg.two cls have the same published file names"
    with pytest.raises(BadInput, match=re.escape(both)) as raised:
        export_published(session, tmp_path / "out")
    assert "Export one at a time with --concept-set" in str(raised.value)
    assert not (tmp_path / "out").exists()
    assert export_published(session, tmp_path / "out", concept_set="avg.two").sets == 1
    session.connection.close()


@pytest.mark.parametrize(
    ("changed", "option"),
    [
        ({"dataset": "b"}, "--dataset"),
        ({"model": "b"}, "--model"),
        ({"concept_set": "b"}, "--concept-set"),
        ({"layer": 9}, "--layers"),
    ],
)
def test_whatever_two_sets_share_a_name_by_is_named(changed: dict[str, Any], option: str) -> None:
    keys = {"dataset": "a", "model": "a", "layer": 1, "concept_set": "a", "unit": "token"}
    facts = {"method": "sae", "supervised": False, "score": "cosine", "folder": "A", "short": "CLIP", "percent": 92}
    first = ConceptSet(keys=keys, stem="CLIP_sae_patch_dense", blocks=None, listed=(), **facts)
    second = replace(first, keys=keys | changed)
    with pytest.raises(
        BadInput, match=re.escape("have the same published file names (A, CLIP_sae_patch_dense)")
    ) as raised:
        check_distinct([first, second])
    assert f"Export one at a time with {option}," in str(raised.value)
    check_distinct([first, replace(first, keys=keys | {"unit": "cls"}, stem="CLIP_sae_cls_dense")])


def test_one_of_the_papers_models_has_its_names(tmp_path: Path, cache: None) -> None:
    warehouse = imported(tmp_path, sets=("avg",), layers=(6, 7), units=("cls",))
    done("eval", "detect", "layers", "--warehouse", warehouse, "--replicates", "10")
    facts: dict[str, dict[str, Any]] = {
        "models": {
            "name": "x",
            "source": "hub:openai/clip-vit-large-patch14",
            "modality": "image",
            "blocks": 24,
            "width": 4,
        },
        "datasets": {"name": "clevr", "source": "x", "modality": "image", "digest": "x"},
    }
    with Warehouse(warehouse).run("test", replace=True) as run:
        for table, row in facts.items():
            columns = {name: [value] for name, value in row.items()}
            part = run.partition(table, {"a": 1}, **({"model": "tiny"} if table == "models" else {"dataset": "toys"}))
            part.write(0, [from_columns(superact.schemas.tables()[table].arrow_schema(), **columns)])
        run.publish()
    session = superact.open(warehouse)
    export_published(session, tmp_path / "out")
    best = tmp_path / "out/Best_Detection_Percentiles_Cal/CLEVR"
    # 25 is in the published list and leads to layer 6; layer 7 of 24 is at 29 percent.
    assert {path.stem for path in best.iterdir()} == {
        f"best_percentiles_CLIP_avg_cls_embeddings_percentthrumodel_{percent}" for percent in (25, 30)
    }
    table = read(tmp_path / "out/Per_Concept_PTM_Optimization/CLEVR/optimal_ptm_results_CLIP_avg_cls_embeddings.csv")
    layers = session.sql("SELECT layer FROM layer_selection WHERE layer IS NOT NULL ORDER BY label")["layer"]
    assert table["best_ptm"].to_list() == [{6: 25, 7: 30}[layer] for layer in layers]
    session.connection.close()


def test_stale_metrics_are_named(tmp_path: Path, cache: None) -> None:
    warehouse = imported(tmp_path, sets=("avg",), layers=(1,), units=("cls",))
    done("eval", "detect", "--warehouse", warehouse)
    labels = from_columns(
        superact.schemas.tables()["labels"].arrow_schema(), label=LABELS, source=["x"] * 4, evaluated=[True] * 4
    )
    with Warehouse(warehouse).run("test", replace=True) as run:
        run.partition("labels", {"a": 1}, dataset="toys").write(0, [labels])
        run.publish()
    said = done("export", "--layout", "published", "--warehouse", warehouse, "--out", tmp_path / "out").stderr
    assert "stale: 1 partition is of detection older than its inputs" in said
    readme = (tmp_path / "out/README.txt").read_text(encoding="utf-8")
    keys = "dataset=toys model=tiny layer=1 concept_set=avg unit=cls"
    for table in ("thresholds", "detection", "selection"):
        assert f"* {table} {keys} is older than its inputs: run superact eval and export again\n" in readme


# The folder.


@pytest.mark.parametrize("place", ["out", "tables", "metrics/x", "manifest/x", "staging/x"])
def test_no_folder_in_a_warehouse(root: Path, cache: None, place: str) -> None:
    out = root / place
    result = run("export", "--layout", "published", "--warehouse", root, "--out", out)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == f"error: --out {out} lies in the warehouse {root}. Name a folder outside of it.\n"
    assert out.exists() == (place == "tables")


def test_no_folder_in_a_warehouse_by_a_link(root: Path, tmp_path: Path, session: Session) -> None:
    (tmp_path / "link").symlink_to(root / "metrics")
    with pytest.raises(BadInput, match="lies in the warehouse"):
        export_published(session, tmp_path / "link" / "out")
    (tmp_path / "dangling").symlink_to(root / "new")
    with pytest.raises(BadInput, match="lies in the warehouse"):
        export_published(session, tmp_path / "dangling")


def test_the_folder_is_new_or_empty(root: Path, tmp_path: Path, session: Session) -> None:
    narrow: dict[str, Any] = {"layer": 1, "concept_set": "avg", "unit": "cls"}
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("precious")
    with pytest.raises(BadInput, match=r"full is not empty\. Name another folder"):
        export_published(session, tmp_path / "full", **narrow)
    assert (tmp_path / "full" / "mine").read_text() == "precious"
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"file is a file\. Name a folder\."):
        export_published(session, tmp_path / "file", **narrow)
    with pytest.raises(BadInput, match=r"there is no folder .*nowhere\. Make it first\."):
        export_published(session, tmp_path / "nowhere" / "out", **narrow)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    assert export_published(session, tmp_path / "link", **narrow).folder == tmp_path / "empty"
    assert (tmp_path / "empty" / "README.txt").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full", "link"]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (lambda: OSError(errno.ENOSPC, "No space left on device"), NotEnoughDisk),
        (lambda: PermissionError(errno.EACCES, "Permission denied"), BadInput),
        (lambda: KeyError("a bug"), KeyError),
    ],
)
def test_a_failure_leaves_nothing(
    tmp_path: Path,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    error: Callable[[], Exception],
    raised: type[Exception],
) -> None:
    def fails(*arguments: Any) -> Iterator[Any]:
        assert len(list(tmp_path.glob(".out.*.part/Thresholds/toys/*.pt"))) > 10  # files of this set are there already
        raise error()
        yield

    monkeypatch.setattr(export, "localization_files", fails)
    with pytest.raises(raised):
        export_published(session, tmp_path / "out", layer=1, concept_set="avg", unit="token")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_filled_meanwhile_is_left_alone(tmp_path: Path, session: Session) -> None:
    def fill(text: str, number: int, total: int) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine").write_text("precious")

    with pytest.raises(BadInput, match="was filled meanwhile"):
        export_published(session, tmp_path / "out", progress=fill, layer=1, concept_set="avg", unit="cls")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["out", "out/mine"]


def test_a_warehouse_that_changes_meanwhile_is_noticed(tmp_path: Path, cache: None) -> None:
    warehouse = imported(tmp_path, sets=("avg",), layers=(1,), units=("cls",))
    done("eval", "detect", "--warehouse", warehouse)
    session = superact.open(warehouse)

    def again(text: str, number: int, total: int) -> None:
        evaluate(Warehouse.open(warehouse), ["detect"], protocol=Protocol(), replace=True)

    with pytest.raises(BadInput, match="The warehouse changed while it was read"):
        export_published(session, tmp_path / "out", progress=again)
    assert not (tmp_path / "out").exists()
    assert export_published(session, tmp_path / "out").sets == 1
    session.connection.close()


# Packages that may be missing.


def test_without_torch_the_extra_is_named(
    root: Path, tmp_path: Path, cache: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = run("export", "--layout", "published", "--warehouse", root, "--out", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == (
        "error: The published layout has .pt files, which need the package torch, and it is not installed."
        " pip install 'superact[extract]'\n"
    )
    assert not list(tmp_path.glob("*out*"))


def test_without_pandas_the_csv_stays(tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    exported = export_published(session, tmp_path / "out", layer=1, concept_set="avg", unit="cls")
    note = "pandas is not installed: 24 pickled frames are left out, their .csv have the same rows"
    assert exported.notes == (note,)
    assert f"* {note}\n" in (tmp_path / "out/README.txt").read_text(encoding="utf-8")
    quant = tmp_path / "out/Quant_Results/toys"
    assert len(list(quant.glob("detectionmetrics_*.csv"))) == 24
    assert list(quant.glob("detectionmetrics_*.pt")) == []


# The command.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--layout", "published"], "Name the folder of the published layout."),
        (["labels", "--layout", "published", "--out", "x"], "Invalid value for TABLE: Not with --layout published."),
        (["--layout", "published", "--out", "x", "--label", "a"], "Invalid value for --label: Not with --layout"),
        (["--out", "x", "--layout", "published", "--format", "csv"], "Invalid value for --format: Not with --layout"),
        (["--out", "x", "--layout", "published", "--columns", "f1"], "Invalid value for --columns: Not with --layout"),
        (["--layout", "rows"], "Invalid value for TABLE: Name one, or give --layout published."),
        (["labels", "--layout", "columns"], "'columns' is not one of 'rows', 'published'"),
    ],
)
def test_wrong_usage(root: Path, arguments: list[str], said: str) -> None:
    result = run("export", *arguments, "--warehouse", root)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_the_layout_of_rows_is_the_default_and_keeps_its_checks(root: Path, tmp_path: Path, cache: None) -> None:
    plain = done("export", "labels", "--warehouse", root, "--format", "csv").stdout
    assert done("export", "labels", "--layout", "rows", "--warehouse", root, "--format", "csv").stdout == plain
    result = run("export", "labels", "--warehouse", root, "--out", tmp_path)
    assert (result.exit_code, result.stderr) == (3, f"error: --out {tmp_path} is a folder. Name a file.\n")


# Names.


def exact(percent: int, blocks: int) -> int:
    """The layer of the contract's formula, in exact arithmetic."""
    return min(max(math.floor(Fraction(percent, 100) * blocks) - 1, 0), blocks - 1) + 1


@pytest.mark.parametrize("blocks", range(1, 101))
def test_percent_leads_back_to_its_layer(blocks: int) -> None:
    for listed in ((), *PERCENTS.values()):
        for layer in range(1, blocks + 1):
            percent = percent_of(layer, blocks, listed)
            assert exact(percent, blocks) == layer_at(percent, blocks) == layer
    assert len({percent_of(layer, blocks) for layer in range(blocks + 1)}) == blocks + 1


@pytest.mark.parametrize("blocks", [12, 24, 28, 30, 32, 36, 40, 42])
def test_percent_leads_back_through_the_models_own_rule(blocks: int) -> None:
    from superact.models.base import Model

    class Deep:
        n_blocks = blocks

    for layer in range(1, blocks + 1):
        assert Model.layer_of_percent(Deep(), percent_of(layer, blocks)) == layer  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "blocks"),
    [
        (("CLIP", "image"), 24),
        (("Llama", "image"), 40),
        (("Llama", "text"), 32),
        (("Qwen", "text"), 36),
        (("Gemma", "text"), 42),
    ],
)
def test_listed_percents_come_back(key: tuple[str, str], blocks: int) -> None:
    for percent in PERCENTS[key]:
        assert percent_of(exact(percent, blocks), blocks, PERCENTS[key]) == percent


def test_a_layer_without_a_percent_is_its_own() -> None:
    assert percent_of(88, None) == 88
    assert percent_of(0, 12) == percent_of(0, None, (4, 25)) == 0
    assert [percent_of(layer, 12) for layer in (1, 3, 6, 7, 9, 12)] == [8, 25, 50, 59, 75, 100]
    assert [percent_of(1, blocks) for blocks in (12, 13, 15)] == [8, 8, 7]  # 8.3, 7.7 and 6.7 rounded


@pytest.mark.parametrize(
    ("name", "source", "wanted"),
    [
        ("x", "hub:openai/clip-vit-large-patch14", "CLIP"),
        ("x", "hub:meta-llama/Llama-3.2-11B-Vision-Instruct", "Llama"),
        ("x", "hub:google/gemma-2-9b", "Gemma"),
        ("x", "hub:Qwen/Qwen3-Embedding-4B", "Qwen"),
        ("x", "/models/gemma-2-9b", "Gemma"),
        ("x", "/cache/models--Qwen--Qwen3-Embedding-4B/snapshots/0123abc", "Qwen"),
        ("CLIP", "import", "CLIP"),
        ("google/gemma-2-9b", "import", "Gemma"),
        ("CLIP", "hub:openai/clip-vit-base-patch32", "the-slug"),
        ("x", "hub:google/gemma-2-9b-it", "the-slug"),
        ("x", "hub:google/gemma-2-27b", "the-slug"),
        ("clipper", "import", "the-slug"),
        (None, "import", "the-slug"),
        (None, None, "the-slug"),
    ],
)
def test_short_names(name: str | None, source: str | None, wanted: str) -> None:
    assert short_name("the-slug", name, source) == wanted


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("CLEVR", "CLEVR"),
        ("broden-pascal", "Broden-Pascal"),
        ("My set", "My set"),
        ("a/b", "slug"),
        ("..", "slug"),
        ("a\n", "slug"),
        ("", "slug"),
        (None, "slug"),
    ],
)
def test_folder_names(name: str | None, wanted: str) -> None:
    assert folder_name("slug", name) == wanted


def test_con_labels() -> None:
    def label(method: str, unit: str, concept_set: str = "own", k: int | None = 1000) -> str:
        return con_label(stem_of("CLIP", method, concept_set, unit, k), method, 46)

    assert label("avg", "token") == "CLIP_avg_patch_embeddings_percentthrumodel_46"
    assert label("linsep", "cls") == "CLIP_linsep_cls_embeddings_BD_True_BN_False_percentthrumodel_46"
    assert label("kmeans", "token") == "CLIP_kmeans_1000_patch_embeddings_kmeans_percentthrumodel_46"
    assert label("kmeans-linsep", "cls", k=50) == "CLIP_kmeans_50_linsep_cls_embeddings_kmeans_percentthrumodel_46"
    assert label("sae", "token") == "CLIP_sae_patch_dense"
    assert label("imported", "token") == "CLIP_own_patch_embeddings_percentthrumodel_46"


# The numbers of the golden tables.


def test_golden_selection(golden: Path, tmp_path: Path, cache: None) -> None:
    warehouse, out = tmp_path / "warehouse", tmp_path / "out"
    done("import", golden / "text" / "inputs", "--warehouse", warehouse)
    done("score", "--warehouse", warehouse, "--device", "cpu", "--keep", "all", "--layers", "100")
    done("eval", "detect", "--seed", "42", "--all-pairs", "--warehouse", warehouse, "--layers", "100")
    done("export", "--layout", "published", "--warehouse", warehouse, "--out", out, "--layers", "100")
    wanted = pl.read_csv(golden / "text/expected/selection.csv", schema_overrides={"concept": pl.String})
    wanted = wanted.filter(pl.col("layer") == 100, pl.col("detector").is_in(["superactivator", "cls"]))
    counted = 0
    for (method, unit), rows in wanted.drop_nulls("concept").group_by("method", "unit"):
        stem = stem_of("golden", str(method), "", str(unit), 7)
        table = read(out / f"Best_Detection_Percentiles_Cal/text/best_percentiles_{stem}_percentthrumodel_100.csv")
        own = rows.sort("label")
        assert table["concept"].to_list() == own["label"].to_list()
        assert table["best_percentile"].to_list() == own["delta"].to_list()
        assert (table["best_f1"] - own["f1_cal"]).abs().max() <= 1e-12
        assert (table["best_threshold"] - own["threshold"]).abs().max() <= 1e-6
        clusters = own["concept"].to_list() if str(method).startswith("kmeans") else ["N/A"] * len(own)
        assert table["best_cluster"].to_list() == clusters
        counted += len(own)
    assert counted == 40
