"""The charts: their numbers against plain SQL and numpy, what a frame may be, the files they become, and what is refused."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import altair as alt
import numpy as np
import polars as pl
import pytest
import vl_convert
from compare_worlds import LAYERS
from figure_worlds import charted, data_of
from folders import tree

import superact.figures as figures
from superact.errors import BadInput, MissingTable
from superact.figures import FIGURES, save
from superact.figures.distributions import IN, OUT, SUPERACTIVATORS
from superact.figures.extra import require
from superact.figures.theme import METHODS, set_styles
from superact.metrics.compare import compare
from superact.query import Session
from superact.store import Warehouse

CHARTS = [name for name, figure in FIGURES.items() if "sample" not in figure.options and "delta" not in figure.options]
"""The figures of metric tables; those of samples have tests of their own."""
MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<svg ", "pdf": b"%PDF-", "html": b"<!DOCTYPE html>"}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    root = tmp_path_factory.mktemp("charts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(root / "cache"))
        yield charted(root)


@pytest.fixture(scope="module")
def session(warehouse: Warehouse) -> Session:
    return Session(warehouse)


def rows(session: Session, query: str) -> list[dict[str, Any]]:
    return session.sql(query).to_dicts()


def best_layers(session: Session, detector: str = "superactivator") -> dict[tuple[str, str], int]:
    query = f"SELECT concept_set, label, layer FROM layer_selection WHERE detector = '{detector}' AND layer IS NOT NULL"
    return {(one["concept_set"], one["label"]): one["layer"] for one in rows(session, query)}


def mean(values: list[tuple[float, int]]) -> float:
    return sum(value * weight for value, weight in values) / sum(weight for _, weight in values)


# --- F1 against delta -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [None, 2])
def test_f1_by_delta_is_the_mean_over_labels_weighted_by_test_positives(session: Session, layer: int | None) -> None:
    wanted: dict[tuple[str, float], list[tuple[float, int]]] = defaultdict(list)
    for detector, suffix in (("superactivator", ""), ("cls", ", cls")):
        best = best_layers(session, detector)
        tested = "split = 'test' AND tp IS NOT NULL"
        for one in rows(session, f"SELECT * FROM detection WHERE {tested} AND detector = '{detector}'"):
            at = best.get((one["concept_set"], one["label"]))
            positives = one["tp"] + one["fn"]
            if at is None or one["layer"] != (layer or at) or not positives:
                continue
            f1 = 2 * one["tp"] / (2 * one["tp"] + one["fp"] + one["fn"])
            wanted[one["concept_set"] + suffix, one["delta"]].append((f1, positives))
    chart = figures.f1_by_delta(session, layer=layer)
    found = {(one["series"], one["delta"]): one["f1"] for one in data_of(chart, "series", "delta", "f1")}
    assert {key for key, _ in found} == {"avg", "linsep", "avg, cls", "linsep, cls", "whole, cls"}
    assert found.keys() == wanted.keys() and len(found) == 60
    assert all(abs(found[key] - mean(values)) < 1e-12 for key, values in wanted.items())
    assert {len(values) for values in wanted.values()} == {2, 3}, "the labels of the two units differ"


def test_floors_are_those_of_the_labels_that_are_drawn(session: Session) -> None:
    chart = figures.f1_by_delta(session, label=["ball", "red"])
    found = {one["series"]: one["f1"] for one in data_of(chart, "series", "f1") if "delta" not in one}
    floor = {one["label"]: one for one in rows(session, "SELECT * FROM label_floors WHERE label IN ('ball', 'red')")}
    asked = {
        one["label"]: one for one in rows(session, "SELECT * FROM prompt_detection WHERE label IN ('ball', 'red')")
    }
    wanted = {
        "always yes": mean([(one["always_f1"], one["n_positive"]) for one in floor.values()]),
        "coin": mean([(one["coin_f1"], one["n_positive"]) for one in floor.values()]),
        "prompt": mean([(one["f1"], one["tp"] + one["fn"]) for one in asked.values()]),
    }
    assert found == pytest.approx(wanted, abs=1e-12)


def test_every_label_has_a_panel_with_its_own_numbers(session: Session) -> None:
    chart = figures.f1_by_delta_per_label(session, concept_set="linsep")
    panels = chart.to_dict()["concat"]
    titles = [panel["title"]["text"] for panel in panels]
    n = {one["label"]: one["n"] for one in rows(session, "SELECT label, n_positive AS n FROM label_floors")}
    assert titles == [f"{label} ({n[label]} test samples)" for label in ("ball", "cube", "red")]
    best = best_layers(session)["linsep", "red"]
    where = f"concept_set = 'linsep' AND label = 'red' AND detector = 'superactivator' AND split = 'test' AND layer = {best}"
    wanted = {one["delta"]: one["f1"] for one in rows(session, f"SELECT delta, f1 FROM detection WHERE {where}")}
    red = {one["delta"]: one["f1"] for one in data_of(chart, "delta")[-36:] if one["series"] == "linsep"}
    assert red == pytest.approx(wanted, abs=1e-12) and len(wanted) == 12


# --- summaries --------------------------------------------------------------------------------------------------------


def test_the_heatmap_holds_every_summary_and_boxes_the_largest_of_a_row(session: Session) -> None:
    chart = figures.detection_heatmap(session)
    found = data_of(chart, "row", "x", "f1")
    query = "SELECT * FROM summary WHERE layer_choice = 'fixed' AND unit <> 'sample' AND f1 IS NOT NULL"
    wanted = {
        (f"{one['concept_set']} · {one['detector']}", LAYERS.index(one["layer"])): one["f1"]
        for one in rows(session, query)
    }
    cells = {(one["row"], one["x"]): one["f1"] for one in found if one["row"] != "prompt"}
    assert cells == wanted and len(cells) == 13 * 3
    for row in {row for row, _ in wanted}:
        values = [wanted[row, place] for place in range(3)]
        boxed = [one for one in found if one["row"] == row and one["best"]]
        assert [one["x"] for one in boxed] == [int(np.argmax(values))]
        assert boxed[0]["text"] == f"{max(values):.3f}".lstrip("0")
    (prompt,) = (one for one in found if one["row"] == "prompt")
    (asked,) = rows(session, "SELECT f1 FROM summary WHERE unit = 'sample'")
    assert (prompt["x"], prompt["x2"], prompt["f1"], prompt["best"]) == (0, 3, asked["f1"], False)


def test_text_in_the_heatmap_is_read_on_its_ground(session: Session) -> None:
    spec = figures.detection_heatmap(session).to_dict()
    (low, high) = spec["layer"][0]["encoding"]["color"]["scale"]["domain"]
    for one in data_of(figures.detection_heatmap(session), "ink"):
        share = (one["f1"] - low) / (high - low)
        assert 0 <= share <= 1
        assert one["ink"] == ("black" if share > 0.45 else "white")


def test_one_layer_has_no_box(session: Session) -> None:
    assert not any(one["best"] for one in data_of(figures.detection_heatmap(session, layer=2), "best"))


@pytest.mark.parametrize("layer", [None, 2])
def test_bars_are_summaries_with_their_intervals(session: Session, layer: int | None) -> None:
    chart = figures.f1_bars(session, layer=layer)
    where = "layer_choice = 'best'" if layer is None else f"layer_choice = 'fixed' AND layer = {layer}"
    columns = ("concept_set", "detector", "f1", "ci_low", "ci_high")
    wanted = rows(session, f"SELECT {', '.join(columns)} FROM summary WHERE unit <> 'sample' AND {where}")
    found = [{name: one[name] for name in columns} for one in data_of(chart, "ci_low")]
    order = ["avg", "linsep", "whole"]
    assert sorted(found, key=str) == sorted(wanted, key=str) and len(found) == 13
    assert list(dict.fromkeys(one["concept_set"] for one in found)) == order
    best = [one["detector"] for one in data_of(chart, "best") if one["best"] and one["concept_set"] == "avg"]
    assert best == [max((one for one in wanted if one["concept_set"] == "avg"), key=lambda one: one["f1"])["detector"]]
    rules = {one["series"] for one in data_of(chart, "series")}
    assert rules == {"always yes", "coin", "prompt"}


@pytest.mark.parametrize(
    ("name", "options", "asked"),
    [
        ("f1_bars", {}, {}),
        ("f1_bars", {"layer": 2}, {"layer": 2}),
        ("f1_bars", {"unit": "token"}, {"unit": "token"}),
        ("f1_by_layer", {}, {}),
    ],
)
def test_floors_over_all_labels_are_those_of_compare(
    session: Session, name: str, options: dict[str, Any], asked: dict[str, Any]
) -> None:
    chart = FIGURES[name].draw(session, **options)
    found = {one["series"]: one["f1"] for one in data_of(chart, "series", "f1") if "ci_low" not in one}
    (comparison,) = compare(session, **asked)
    words = {"always": "always yes"}
    floors = [row for row in comparison.rows if row["method"] in ("always", "coin", "prompt")]
    assert found == {words.get(row["method"], row["method"]): row["f1"] for row in floors} and len(found) == 3


def test_floors_are_of_the_labels_that_the_unit_could_calibrate(session: Session) -> None:
    def always(**options: Any) -> float:
        records = data_of(figures.f1_bars(session, **options), "series")
        return next(float(one["f1"]) for one in records if one["series"] == "always yes")

    asked = {one["label"] for one in rows(session, "SELECT label FROM prompt_detection")}
    judged = {one["label"] for one in rows(session, "SELECT DISTINCT label FROM selection WHERE f1_cal IS NOT NULL")}
    floor = {one["label"]: one for one in rows(session, "FROM label_floors") if one["label"] in asked | judged}
    assert always() == pytest.approx(mean([(one["always_f1"], one["n_positive"]) for one in floor.values()]), abs=1e-12)


def test_f1_by_layer_is_of_one_set_and_every_detector(session: Session) -> None:
    chart = figures.f1_by_layer(session)
    found = {(one["series"], one["layer"]): one["f1"] for one in data_of(chart, "layer")}
    query = "SELECT detector, layer, f1 FROM summary WHERE layer_choice = 'fixed' AND concept_set = 'linsep'"
    assert found == {(one["detector"], one["layer"]): one["f1"] for one in rows(session, query)}
    assert len(found) == 18
    assert "linsep" in chart.to_dict()["title"]["subtitle"][0]
    narrowed = figures.f1_by_layer(session, concept_set="avg", detector="cls", layer=[1, 4])
    assert {(one["series"], one["layer"]) for one in data_of(narrowed, "layer")} == {("cls", 1), ("cls", 4)}


# --- distributions ----------------------------------------------------------------------------------------------------


def test_densities_are_masses_over_widths_and_the_tail_begins_at_the_threshold(session: Session) -> None:
    chart = figures.activation_distributions(session, label="red", layer=2)
    steps = data_of(chart, "density")
    where = "concept_set = 'linsep' AND label = 'red' AND layer = 2"
    bins = rows(session, f"SELECT * FROM distributions WHERE {where} ORDER BY bin")
    (chosen,) = rows(session, f"SELECT threshold FROM selection WHERE {where} AND detector = 'superactivator'")
    for population, series in (("in_concept", IN), ("out_of_concept", OUT)):
        own = [one for one in bins if one["population"] == population]
        found = [one for one in steps if one["series"] == series]
        assert [one["x"] for one in found] == [*(one["lo"] for one in own), own[-1]["hi"]]
        heights = [one["mass"] / (one["hi"] - one["lo"]) for one in own]
        assert [one["density"] for one in found] == pytest.approx([*heights, heights[-1]], abs=1e-9)
        area = sum(one["density"] * (after["x"] - one["x"]) for one, after in pairwise(found))
        assert area == pytest.approx(1, abs=1e-9)
    tail = [one for one in steps if one["series"] == SUPERACTIVATORS]
    assert tail[0]["x"] == chosen["threshold"]
    first = next(one for one in bins if one["population"] == "in_concept" and one["hi"] > chosen["threshold"])
    assert first["lo"] <= tail[0]["x"] < first["hi"]
    assert tail[0]["density"] == pytest.approx(first["mass"] / (first["hi"] - first["lo"]), abs=1e-9)
    assert tail[-1]["x"] == bins[-1]["hi"]
    (rule,) = (one["x"] for one in data_of(chart, "text") if one["text"].startswith("superactivators"))
    assert rule == chosen["threshold"]


def test_a_cell_a_label_and_layer_with_its_depth(session: Session) -> None:
    spec = figures.activation_distributions(session).to_dict()
    assert spec["columns"] == 3 and len(spec["concat"]) == 3 * 4
    assert [cell["title"]["text"] for cell in spec["concat"][:4]] == [
        "layer 1 (25 % through)",
        "layer 2 (50 % through)",
        "layer 4 (100 % through)",
        "",
    ]


def test_a_label_without_a_threshold_has_no_tail(session: Session) -> None:
    chart = figures.activation_distributions(session, label="cube")
    assert data_of(chart, "density") and not any(one["series"] == SUPERACTIVATORS for one in data_of(chart, "density"))


def test_scores_that_are_all_equal_are_said() -> None:
    bins = [
        {
            "layer": 1,
            "label": "a",
            "population": population,
            "bin": number,
            "lo": low,
            "hi": low,
            "mass": 0.0,
            "threshold": None,
        }
        for population in ("in_concept", "out_of_concept")
        for number in range(100)
        for low in (1.0,)
    ]
    chart = figures.activation_distributions(pl.DataFrame(bins, schema_overrides={"threshold": pl.Float64}))
    assert [one["text"] for one in data_of(chart, "text")] == ["no scores to draw"]


def test_many_labels_and_layers_are_asked_for_or_spread() -> None:
    def bins(labels: int, layers: int) -> pl.DataFrame:
        return pl.DataFrame(
            {"layer": layer, "label": f"l{label}", "population": "in_concept", "bin": 0}
            | {"lo": 0.0, "hi": 1.0, "mass": 1.0, "threshold": 0.5}
            for label in range(labels)
            for layer in range(layers)
        )

    with pytest.raises(BadInput, match="There are 7 labels, of which a page holds 6"):
        figures.activation_distributions(bins(7, 1))
    headers = [cell["title"]["text"] for cell in figures.activation_distributions(bins(1, 30)).to_dict()["concat"]]
    assert headers == ["layer 0", "layer 7", "layer 14", "layer 22", "layer 29"]


def test_separation_is_drawn_with_its_plain_mean(session: Session) -> None:
    chart = figures.separation_by_layer(session, concept_set="avg")
    found = data_of(chart, "measure", "layer", "value")
    table = rows(session, "SELECT * FROM separation WHERE concept_set = 'avg'")
    for measure in ("overlap", "auc", "cohens_d", "tail_mass", "tail_coverage", "tail_precision"):
        wanted = {(one["label"], one["layer"]): one[measure] for one in table if one[measure] is not None}
        assert {
            (one["label"], one["layer"]): one["value"] for one in found if one["measure"] == measure and "label" in one
        } == wanted
        means = {one["layer"]: one["value"] for one in found if one["measure"] == measure and "label" not in one}
        for layer in LAYERS:
            assert means[layer] == pytest.approx(
                np.mean([value for (_, at), value in wanted.items() if at == layer]), abs=1e-12
            )


# --- choices ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [None, 4])
def test_the_histogram_of_deltas_is_the_view(session: Session, layer: int | None) -> None:
    chart = figures.delta_histogram(session, layer=layer)
    found = {(one["series"], float(one["value"])): one["n"] for one in data_of(chart, "n")}
    where = "layer_choice = 'best'" if layer is None else f"layer_choice = 'fixed' AND layer = {layer}"
    query = f"SELECT * FROM delta_histogram WHERE detector = 'superactivator' AND {where} AND n_labels > 0"
    assert found == {(one["concept_set"], one["delta"]): one["n_labels"] for one in rows(session, query)}
    assert found


def test_a_named_set_is_stacked_by_detector(session: Session) -> None:
    chart = figures.layer_histogram(session, concept_set="linsep")
    found = {(one["series"], int(one["value"].split("|")[0])): one["n"] for one in data_of(chart, "n")}
    query = """SELECT detector, layer, count(*) AS n FROM layer_selection
        WHERE concept_set = 'linsep' AND layer IS NOT NULL GROUP BY detector, layer"""
    assert found == {(one["detector"], one["layer"]): one["n"] for one in rows(session, query)}
    for place in {one["place"] for one in data_of(chart, "n")}:
        bar = [one for one in data_of(chart, "n") if one["place"] == place]
        assert [one["low"] for one in bar] == [0, *(one["high"] for one in bar[:-1])]


# --- localization -----------------------------------------------------------------------------------------------------


def test_the_table_of_localizers_is_weighted_by_test_positives(session: Session) -> None:
    best = best_layers(session)
    n = {one["label"]: one["n_positive"] for one in rows(session, "SELECT label, n_positive FROM label_floors")}
    wanted: dict[tuple[str, str, str], list[tuple[float, int]]] = defaultdict(list)
    for one in rows(session, "SELECT * FROM localization WHERE split = 'test' AND f1 IS NOT NULL"):
        if one["layer"] == best.get((one["concept_set"], one["label"])) and one["label"] in n:
            for measure in ("f1", "iou"):
                wanted[one["concept_set"], one["localizer"], measure].append((one[measure], n[one["label"]]))
    chart = figures.localization_table(session)
    found = {(one["concept_set"], one["localizer"], one["measure"]): one["value"] for one in data_of(chart, "measure")}
    assert found.keys() == wanted.keys()
    assert all(abs(found[key] - mean(values)) < 1e-12 for key, values in wanted.items())
    bold = {(one["concept_set"], one["measure"]): one["value"] for one in data_of(chart, "measure") if one["best"]}
    assert bold == {
        (name, measure): max(value for (own, _, of), value in found.items() if (own, of) == (name, measure))
        for name in ("avg", "linsep")
        for measure in ("f1", "iou")
    }
    bars = {
        (one["concept_set"], one["localizer"], one["measure"]): one["value"]
        for one in data_of(figures.localization_bars(session), "measure")
    }
    assert bars == found


# --- curves -----------------------------------------------------------------------------------------------------------


def test_coverage_is_the_cumulative_share_of_samples(session: Session) -> None:
    best = best_layers(session)
    ratios: dict[str, list[float]] = defaultdict(list)
    for one in rows(session, "SELECT * FROM superactivator_ratio WHERE concept_set = 'linsep'"):
        if one["layer"] == best.get(("linsep", one["label"])):
            ratios[one["label"]].append(one["n_superactivators_in_concept"] / one["n_in_concept"])
    chart = figures.superactivator_coverage(session)
    found = data_of(chart, "share", "samples")
    assert {one["label"] for one in found if "label" in one} == ratios.keys() and ratios
    for label, own in ratios.items():
        wanted = [np.searchsorted(np.sort(own), step / 100 + 1e-12, side="right") / len(own) for step in range(101)]
        assert [one["samples"] for one in found if one.get("label") == label] == wanted
    means = [one["samples"] for one in found if "label" not in one]
    assert means == pytest.approx(
        np.mean([[one["samples"] for one in found if one.get("label") == label] for label in ratios], axis=0), abs=1e-12
    )


def test_a_point_of_precision_and_recall_stands_on_its_curve(session: Session) -> None:
    chart = figures.precision_recall(session, concept_set="linsep")
    best = best_layers(session)
    panels = chart.to_dict()["concat"]
    assert [panel["title"]["text"] for panel in panels] == sorted(label for name, label in best if name == "linsep")
    curve = [(one["recall"], one["precision"]) for one in data_of(chart, "order")]
    points = [one for one in data_of(chart, "concept_set", "recall") if "order" not in one]
    wanted = []
    for (name, label), layer in sorted(best.items()):
        if name == "linsep":
            where = f"s.concept_set = 'linsep' AND s.label = '{label}' AND s.layer = {layer} AND s.detector = 'superactivator'"
            query = f"""SELECT d.precision, d.recall FROM selection AS s JOIN detection AS d
                USING (layer, concept_set, unit, detector, label, concept, delta) WHERE {where} AND d.split = 'test'"""
            wanted += [(one["recall"], one["precision"]) for one in rows(session, query)]
    assert [(one["recall"], one["precision"]) for one in points] == wanted
    for label, layer in ((label, layer) for (name, label), layer in best.items() if name == "linsep"):
        view = f"concept_set = 'linsep' AND label = '{label}' AND layer = {layer} AND detector = 'superactivator'"
        assert {
            (one["recall"], one["precision"]) for one in rows(session, f"FROM precision_recall WHERE {view}")
        } <= set(curve)


def test_a_long_label_leaves_the_panels_their_size(session: Session) -> None:
    frame = session.sql("SELECT * FROM detection WHERE layer = 2 AND split = 'test' AND concept_set = 'avg'")
    named = frame.with_columns(label=pl.lit("x" * 300), delta=pl.col("delta"))
    chart = figures.f1_by_delta_per_label(named.unique(["unit", "detector", "delta"]))
    svg = vl_convert.vegalite_to_svg(chart.to_dict())
    assert float(re.search(r'width="([0-9.]+)"', svg)[1]) < 600  # type: ignore[index]


def test_a_long_curve_is_thinned_from_end_to_end() -> None:
    n = 5000
    curve = pl.DataFrame(
        {"threshold": np.linspace(1, 0, n), "recall": np.linspace(0, 1, n), "precision": np.linspace(1, 0.2, n)}
    )
    facts = {"concept_set": "avg", "method": "avg", "label": "a"}
    frame = curve.with_columns(selected=False, **{name: pl.lit(value) for name, value in facts.items()})
    found = data_of(figures.precision_recall(frame), "order")
    assert len(found) == 400
    assert (found[0]["recall"], found[-1]["recall"]) == (0.0, 1.0)


# --- frames -----------------------------------------------------------------------------------------------------------


FRAMES = {
    "separation_by_layer": "FROM separation WHERE concept_set = 'avg'",
    "detection_heatmap": "FROM summary WHERE unit <> 'sample'",
    "f1_by_layer": "FROM summary WHERE unit <> 'sample'",
    "f1_bars": "FROM summary WHERE unit <> 'sample'",
    "f1_by_delta": "FROM detection WHERE layer = 2",
    "delta_histogram": "FROM layer_selection",
    "layer_histogram": "FROM layer_selection",
    "superactivator_coverage": "FROM superactivator_ratio WHERE layer = 2",
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_table_as_it_is_asked_is_a_frame_to_draw(session: Session, name: str) -> None:
    given = {"concept_set": "avg"} if name == "separation_by_layer" else {}
    at = {"layer": 2} if name in ("f1_by_delta", "superactivator_coverage") else {}
    from_frame = getattr(figures, name)(session.sql(FRAMES[name]), **at)
    wanted = getattr(figures, name)(session, **given, **at)
    fields = {
        "f1_by_delta": ("series", "delta"),
        "detection_heatmap": ("x",),
        "f1_bars": ("ci_low",),
        "f1_by_layer": ("layer",),
    }
    found, own = (data_of(chart, *fields.get(name, ())) for chart in (from_frame, wanted))
    if name == "detection_heatmap":
        own = [one for one in own if one["row"] != "prompt"]
        found, own = ([{key: one[key] for key in ("row", "x", "f1", "best")} for one in part] for part in (found, own))
    numbers = [sorted(json.dumps(one, sort_keys=True) for one in part) for part in (found, own)]
    if name in ("layer_histogram", "separation_by_layer", "detection_heatmap", "f1_by_layer"):
        # Only the depth is not known from a frame.
        numbers = [[re.sub(r"\|\d+ %", "", one) for one in part] for part in numbers]
    assert numbers[0] == numbers[1]
    assert from_frame.to_dict()["title"]["text"] == "d | m"


def test_a_lazy_frame_and_display_names(session: Session) -> None:
    frame = session.sql("SELECT *, 'Set' AS dataset_name, 'Net' AS model_name, 8 AS blocks FROM separation")
    chart = figures.separation_by_layer(frame.lazy(), concept_set="avg", label="red")
    spec = chart.to_dict()
    assert spec["title"]["text"] == "Set | Net"
    assert {one["label"] for one in data_of(chart, "label")} == {"red"}
    assert "/ 8" in spec["concat"][0]["layer"][0]["encoding"]["x"]["axis"]["labelExpr"]


def test_what_a_frame_lacks_is_named(session: Session) -> None:
    frame = session.sql("SELECT * EXCLUDE (auc, overlap) FROM separation")
    with pytest.raises(
        BadInput, match=r"lacks the columns overlap, auc\. Figure separation_by_layer needs layer, label"
    ):
        figures.separation_by_layer(frame)
    for name in CHARTS:
        with pytest.raises(BadInput, match="The frame lacks the column"):
            getattr(figures, name)(pl.DataFrame({"x": [1]}))


def test_a_frame_of_several_layers_or_models_is_refused(session: Session) -> None:
    frame = session.sql("FROM detection WHERE split = 'test'")
    with pytest.raises(
        BadInput, match="several rows a concept_set, unit, detector, label, delta, where f1_by_delta draws one"
    ):
        figures.f1_by_delta(frame)
    two = pl.concat(
        [frame.filter(pl.col("layer") == 2), frame.filter(pl.col("layer") == 2).with_columns(model=pl.lit("n"))]
    )
    with pytest.raises(BadInput, match="The frame has several models: m, n"):
        figures.f1_by_delta(two)
    assert figures.f1_by_delta(two, model="n").to_dict()["title"]["text"] == "d | n"
    with pytest.raises(BadInput, match="There is no row to draw"):
        figures.f1_by_delta(frame.clear())


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dataset": "e"}, "There is no dataset 'e'"),
        ({"model": "mm"}, "There is no model 'mm'"),
        ({"concept_set": "linsap"}, "There is no concept set 'linsap'.*nearest: linsep"),
        ({"label": "redd"}, "There is no label 'redd' of d.*nearest: red"),
        ({"layer": 3}, "There is no layer 3"),
        ({"label": "night"}, "There is no row to draw"),
    ],
)
def test_names_that_are_not_there(session: Session, given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        figures.f1_by_delta(session, **given)


def test_several_models_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from compare_worlds import make_worlds
    from metrics_tables import publish_world

    from superact.metrics.evaluate import evaluate

    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    world = make_worlds()["whole", "cls"][1]
    for model in ("m", "n"):
        found = publish_world(tmp_path / "wh", world, model=model, concept_set="whole")
    with pytest.raises(MissingTable, match=r"this figure needs summary of any dataset.*Run `superact eval` first"):
        figures.f1_bars(tmp_path / "wh")
    evaluate(found)
    with pytest.raises(BadInput, match=r"There are several models: m, n\. Say which with model="):
        figures.f1_bars(tmp_path / "wh")
    assert figures.f1_bars(str(tmp_path / "wh"), model="n").to_dict()["title"]["text"] == "d | n"


def test_what_is_no_source() -> None:
    with pytest.raises(BadInput, match="A figure cannot be drawn from a dict"):
        figures.f1_by_delta({"a": [1]})


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_becomes_every_file(session: Session, tmp_path: Path, name: str) -> None:
    chart = getattr(figures, name)(session)
    spec = chart.to_dict()
    assert spec["title"]["text"] == "Toy Set | Tiny model"
    assert len(spec["description"]) > 40 and "Toy Set" in spec["description"]
    for kind, magic in MAGIC.items():
        path = save(chart, tmp_path / f"{name}.{kind}")
        assert path.read_bytes().startswith(magic)
    assert sorted(tree(tmp_path)) == sorted(f"{name}.{kind}" for kind in MAGIC)
    page = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?\s*(?:https?:)?//", page, re.I)
    assert not re.search(r"<link|@import|url\(\s*[\"']?https?:", page)
    assert "<title>Toy Set | Tiny model" in page
    root = ElementTree.parse(tmp_path / f"{name}.svg").getroot()
    assert root.get("aria-label") == spec["description"] and root.get("role") == "img"


def test_scale_multiplies_the_pixels(session: Session, tmp_path: Path) -> None:
    from PIL import Image

    chart = figures.delta_histogram(session)
    sizes = []
    for scale in (1, 3):
        with Image.open(save(chart, tmp_path / f"{scale}.png", scale=scale)) as image:
            sizes.append(image.size)
    assert sizes[1] == tuple(3 * side for side in sizes[0])


def test_a_frame_that_does_not_say_whose_it_is_still_says_what_is_measured(tmp_path: Path) -> None:
    """Vega draws no subtitle where there is no title."""
    row = {"overlap": 0.5, "auc": 0.9, "cohens_d": 1.0, "tail_mass": 0.1, "tail_coverage": 0.5, "tail_precision": 0.9}
    frame = pl.DataFrame([{"layer": layer, "label": "x", **row} for layer in (1, 2)])
    for data, first in (
        (frame, "separation of"),
        (frame.with_columns(dataset=pl.lit("d"), model=pl.lit("m")), "d | m"),
    ):
        page = save(figures.separation_by_layer(data), tmp_path / "x.svg").read_text(encoding="utf-8")
        assert "separation of in- from out-of-concept" in page
        named = re.search(r'aria-label="(Separation of [^"]*)"', page)
        assert named and (", d | m. " in named[1]) == (first == "d | m") and ", ." not in named[1]
        assert save(figures.separation_by_layer(data), tmp_path / "x.html").read_text().count(f"<title>{first}") == 1


@pytest.mark.parametrize("n_layers", [2, 12, 42])
def test_points_and_cells_of_deep_models_stay_apart(n_layers: int) -> None:
    frame = pl.DataFrame(
        {
            "concept_set": "avg",
            "method": "avg",
            "unit": "token",
            "detector": "superactivator",
            "layer": range(1, n_layers + 1),
            "f1": 0.5,
            "ci_low": 0.4,
            "ci_high": 0.6,
        }
    )
    lines, heat = figures.f1_by_layer(frame).to_dict(), figures.detection_heatmap(frame).to_dict()
    (size,) = {own["mark"]["size"] for own in lines["layer"] if own["mark"]["type"] == "point"}
    assert size**0.5 < lines["width"] / n_layers and lines["width"] <= 700
    assert 26 * n_layers <= heat["width"] <= 1200
    written = next(own["encoding"]["x"]["axis"]["values"] for own in heat["layer"])
    assert written[0] == 0.5 and len(written) == n_layers


def test_a_heatmap_of_a_very_deep_model_fits_on_a_page_and_names_the_best_layer() -> None:
    frame = pl.DataFrame({"concept_set": "avg", "method": "avg", "unit": "token", "layer": range(80), "blocks": 80})
    frame = frame.with_columns(
        detector=pl.lit("superactivator"), f1=pl.when(pl.col("layer") == 41).then(0.9).otherwise(0.5)
    )
    heat = figures.detection_heatmap(frame).to_dict()
    assert heat["width"] <= 1260 and {own["mark"]["type"] for own in heat["layer"]} == {"rect"}
    written = heat["layer"][0]["encoding"]["x"]["axis"]["values"]
    assert 41.5 in written and min(np.diff(written)) * heat["width"] / 80 >= 38


def test_points_of_layers_that_are_far_from_the_others_do_not_count_as_near() -> None:
    from superact.figures.axes import places, point_size

    assert places([3]) == 1 and places([3, 6, 9, 12]) == 4 and places([1, 2, 3, 40]) == 40
    assert point_size([3, 6, 9, 12], 55) == 55 and point_size([1, 2, 3, 40], 55) < 20


def test_text_of_the_data_stays_text(tmp_path: Path) -> None:
    name = "</script><script>alert(1)</script>"
    frame = pl.DataFrame(
        {"concept_set": name, "method": "avg", "detector": "superactivator", "label": 'a&"b', "delta": 0.5}
    )
    chart = figures.delta_histogram(frame)
    page = save(chart, tmp_path / "x.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page and "\\u003cscript>alert(1)" in page
    assert page.count("</script>") == 2
    ElementTree.parse(save(chart, tmp_path / "x.svg"))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("x.gif", r"ends in '\.gif', which is no format.*\.png, \.svg, \.pdf, \.html"),
        ("x", "has no suffix"),
        ("no/x.png", "there is no folder .*no"),
    ],
)
def test_places_where_no_figure_can_go(session: Session, tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        save(figures.delta_histogram(session), tmp_path / path)
    (tmp_path / "x.svg").mkdir()
    with pytest.raises(BadInput, match="is a folder"):
        save(figures.delta_histogram(session), tmp_path / "x.svg")
    with pytest.raises(BadInput, match="A scale of 0 cannot be drawn"):
        save(figures.delta_histogram(session), tmp_path / "x.png", scale=0)
    with pytest.raises(BadInput, match="A dict is no figure"):
        save({}, tmp_path / "x.png")  # type: ignore[arg-type]
    assert tree(tmp_path) == {"x.svg": None} or not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_figure_that_cannot_be_drawn_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    class Broken:
        def html(self) -> str:
            raise RuntimeError("half way")

        def svg(self) -> str:
            return "<svg xmlns='http://www.w3.org/2000/svg' width='4' height='4'/>"

    (tmp_path / "x.html").write_text("before", encoding="utf-8")
    with pytest.raises(RuntimeError, match="half way"):
        save(Broken(), tmp_path / "x.html")
    assert (tmp_path / "x.html").read_text(encoding="utf-8") == "before"
    assert save(Broken(), tmp_path / "x.png").read_bytes().startswith(MAGIC["png"])
    assert save(Broken(), tmp_path / "x.pdf").read_bytes().startswith(MAGIC["pdf"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.html", "x.pdf", "x.png"]


# --- the room ---------------------------------------------------------------------------------------------------------


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(BadInput, match=r"Figures need the package altair.*pip install 'superact\[figures\]'"):
        require("altair")


def test_nothing_is_imported_until_a_figure_is_asked_for() -> None:
    check = """
import sys, superact.figures, superact.figures.frames, superact.cli.main
heavy = {"altair", "vl_convert", "PIL", "polars", "torch", "transformers"} & set(sys.modules)
assert not heavy, heavy
superact.figures.f1_by_delta, superact.figures.activation_distributions
assert not {"altair", "vl_convert", "PIL", "torch"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", check], check=True)


def test_sets_of_one_method_look_different() -> None:
    styles = set_styles([("avg", "avg"), ("avg-b", "avg"), ("sae", "sae"), ("mine", "unheard-of")])
    assert list(styles) == ["avg", "avg-b", "sae", "mine"]
    assert styles["avg"] == METHODS["avg"] and styles["sae"] == METHODS["sae"]
    looks = {(style.colour, style.dash) for style in styles.values()}
    assert len(looks) == 4 and len({style.colour for style in styles.values()}) == 4


def test_methods_are_told_apart_without_colour() -> None:
    looks = [(style.dash, style.shape) for style in METHODS.values()]
    assert len(set(looks)) == len(looks)


def test_the_theme_serves_other_charts() -> None:
    from superact.figures import theme

    before = alt.theme.active
    try:
        theme.enable()
        spec = alt.Chart(alt.InlineData(values=[{"a": 1}])).mark_bar().encode(x="a:Q").to_dict()
        assert spec["config"]["title"] == theme.CONFIG["title"]
    finally:
        alt.theme.enable(before)


@pytest.mark.parametrize("name", FIGURES)
def test_the_catalogue_and_the_function_agree(name: str) -> None:
    figure = FIGURES[name]
    function = figure.function()
    assert function.__name__ == name and getattr(figures, name) is function and name in figures.__all__
    parameters = inspect.signature(function).parameters
    keywords = {key for key, one in parameters.items() if one.kind is one.KEYWORD_ONLY}
    assert set(figure.options) <= keywords
    assert set(figure.one) <= set(figure.options)
    assert all(one.default is not inspect.Parameter.empty for key, one in parameters.items() if key != "source")
    several = {key for key in figure.options if re.search(r"Strings|Numbers|Sequence", str(parameters[key].annotation))}
    assert several == set(figure.options) & {"layer", "concept_set", "label", "detector", "unit", "sample"} - set(
        figure.one
    )
    assert inspect.getdoc(function)


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'f1_by_moon'"):
        figures.f1_by_moon  # noqa: B018
    assert set(FIGURES) <= set(dir(figures))


QUERIES = sorted(path for path in Path(figures.__file__).parent.glob("*.sql"))


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_a_query_says_its_grain_tables_and_parameters(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    head = "\n".join(line for line in text.split("\n") if line.startswith("--"))
    body = "\n".join(line.partition("--")[0] for line in text.split("\n"))
    assert head.startswith(f"-- {path.stem}: ")
    assert re.search(r"^-- grain: ", head, re.M) and re.search(r"^-- reads: ", head, re.M)
    used = set(re.findall(r"\$\w+", body))
    assert used == set(re.findall(r"\$\w+", head)), "the header names the parameters"
    reads = re.search(r"^-- reads: (.*)$", head, re.M)
    assert reads
    named = set(re.findall(r"\w+", reads.group(1)))
    made = set(re.findall(r"(?:WITH|,)\s*(\w+) AS (?:NOT MATERIALIZED )?\(\s*SELECT", body))
    asked = set(re.findall(r"\b(?:FROM|JOIN)\s+(\w+)", body)) - made
    assert asked == named, "the header names the tables"


def test_modules_import_what_draws_inside_functions() -> None:
    for path in Path(figures.__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
                assert not {name.partition(".")[0] for name in names} & {
                    "altair",
                    "vl_convert",
                    "PIL",
                    "polars",
                    "torch",
                }, path
