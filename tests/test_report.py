"""`superact report`: what its data files say, beside plain SQL; what it leaves out; and the folder that it leaves."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import tree
from metrics_tables import write_table
from report_worlds import GRID, LABELS, LAYERS, SETS, SIZE, TEXTS, World, report_world
from sae_worlds import publish_sae, sparse_world
from typer.testing import CliRunner

import superact
from superact.cli.main import app
from superact.errors import BadInput, MissingTable
from superact.figures import activation_distributions
from superact.figures.distributions import density
from superact.figures.report import build as build_module
from superact.figures.report import build_report
from superact.figures.report.charts import density_templates, filled, spec_of, untitled
from superact.figures.report.choose import choose, lacking
from superact.figures.report.details import Places
from superact.figures.report.files import Site, floats, floats_size, payload
from superact.figures.report.plan import Need, Piece, fit, numbers
from superact.figures.report.scope import ConceptSet, Dataset, Model
from superact.figures.report.scores import Scores
from superact.figures.samples import token_scores
from superact.metrics.evaluate import evaluate
from superact.query import Session

SITE = Path(build_module.__file__).parent / "site"
AGGREGATE = {"mean_token": "mean", "last_token": "last", "random_token": "random", "cls": "cls"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return report_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def session(world: World) -> Session:
    return superact.open(world.warehouse.root)


@pytest.fixture(scope="module")
def whole(world: World, session: Session, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of everything."""
    out = tmp_path_factory.mktemp("report") / "out"
    built = build_report(session, out, data_root=world.data_root)
    assert built.notes == ()
    assert (built.files, built.bytes) == (len(tree(out)), sum(map(len, tree(out).values())))
    return out


def data(folder: Path, name: str) -> Any:
    """What a data file hands to the page."""
    text = (folder / "data" / f"{name}.js").read_text(encoding="ascii")
    match = re.fullmatch(r"superact\.receive\((\"[^\"]*\"),(.*)\);\n", text, re.S)
    assert match and json.loads(match[1]) == name
    return json.loads(match[2])


def decoded(text: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(base64.b64decode(text), dtype="<f4")


def pairs(folder: Path) -> list[tuple[str, str]]:
    found = data(folder, "catalogue")["datasets"]
    return [(one["slug"], model["slug"]) for one in found for model in one["models"]]


# -- what the files say ---


def test_counts_are_those_of_table_detection_at_every_delta(whole: Path, session: Session) -> None:
    wanted = session.sql(
        "SELECT d.*, t.threshold FROM detection AS d "
        "SEMI JOIN selection AS s USING (dataset, model, layer, concept_set, unit, detector, label, concept) "
        "JOIN thresholds AS t USING (dataset, model, layer, concept_set, unit, detector, label, concept, delta) "
        "WHERE d.split = 'test'"
    ).to_dicts()
    found = {}
    for dataset, model in pairs(whole):
        for name in SETS:
            for layer in LAYERS:
                for detector, rows in data(whole, f"counts/{dataset}/{model}/{name}/{layer}")["detectors"]:
                    for label, _, _, cuts in rows:
                        for delta, threshold, *counts in cuts:
                            found[dataset, model, name, layer, detector, LABELS_IN_ORDER[label], delta] = (
                                threshold,
                                counts,
                            )
    assert len(found) == len(wanted) == 2 * 2 * 2 * 6 * 3 * 12
    for row in wanted:
        key = tuple(row[name] for name in ("dataset", "model", "concept_set", "layer", "detector", "label", "delta"))
        threshold, counts = found[key]
        assert counts == [row[name] for name in ("tp", "fp", "fn", "tn")]
        assert np.float32(threshold) == np.float32(row["threshold"]) and threshold == float(np.float32(threshold))


LABELS_IN_ORDER = sorted(LABELS)


def test_the_selected_delta_and_concept_are_those_of_selection(whole: Path, session: Session) -> None:
    wanted = session.sql("SELECT * FROM selection WHERE concept_set = 'avg'").to_dicts()
    chosen = {}
    for dataset, model in pairs(whole):
        for layer in LAYERS:
            for detector, rows in data(whole, f"counts/{dataset}/{model}/avg/{layer}")["detectors"]:
                for label, concept, delta, _ in rows:
                    chosen[dataset, layer, detector, LABELS_IN_ORDER[label]] = concept, delta
    assert chosen == {(r["dataset"], r["layer"], r["detector"], r["label"]): (r["concept"], r["delta"]) for r in wanted}


@pytest.mark.parametrize("name", SETS)
def test_lists_made_of_the_scores_have_the_lengths_that_the_counts_say(
    whole: Path, session: Session, name: str
) -> None:
    checked = 0
    for dataset, model in pairs(whole):
        shown = data(whole, f"samples/{dataset}")
        for layer in LAYERS:
            counts = dict(data(whole, f"counts/{dataset}/{model}/{name}/{layer}")["detectors"])
            for label, title in enumerate(LABELS_IN_ORDER):
                positive = np.array([label in own for own in shown["labels"]])
                for detector, concept, scores in data(whole, f"scores/{dataset}/{model}/{name}/{layer}/{label}")[
                    "detectors"
                ]:
                    values = decoded(scores)
                    own = session.sql(
                        f"SELECT sample, score FROM sample_scores WHERE dataset = '{dataset}' AND layer = {layer} "
                        f"AND concept_set = '{name}' AND aggregate = '{AGGREGATE.get(detector, 'max')}'"
                        "AND concept = (SELECT name FROM wanted)",
                        wanted=_one(title),
                    )
                    by_sample = dict(own.iter_rows())
                    assert concept == title
                    assert values.tolist() == [by_sample[sample] for sample in shown["samples"]]
                    cuts = next(row for row in counts[detector] if row[0] == label)[3]
                    for _, threshold, *confusion in cuts:
                        detected = values >= np.float32(threshold)
                        ours = [
                            int(np.sum(detected & positive)),
                            int(np.sum(detected & ~positive)),
                            int(np.sum(~detected & positive)),
                            int(np.sum(~detected & ~positive)),
                        ]
                        assert ours == confusion
                        checked += 1
    assert checked == 2 * 2 * 3 * 6 * 12


def _one(name: str) -> Any:
    import polars as pl

    return pl.DataFrame({"name": [name]})


def test_token_scores_are_those_of_activations_in_the_order_of_places(whole: Path, session: Session) -> None:
    for dataset, model in pairs(whole):
        shown = data(whole, f"samples/{dataset}")["samples"]
        places = data(whole, f"places/{dataset}/{model}")
        for name in SETS:
            for layer in LAYERS:
                for label, title in enumerate(LABELS_IN_ORDER):
                    wanted = token_scores(
                        session, dataset=dataset, model=model, layer=layer, concept_set=name, label=title, samples=shown
                    )
                    file = data(whole, f"tokens/{dataset}/{model}/{name}/{layer}/{label}")
                    assert file["concept"] == title
                    assert decoded(file["scores"]).tolist() == wanted["score"].to_list()
                    assert sum(places["counts"]) == wanted.height
                    truth = [
                        position + sum(places["counts"][:at])
                        for at, own in enumerate(places["truth"])
                        for number, positions in own
                        if number == label
                        for position in positions
                    ]
                    assert truth == np.flatnonzero(wanted["in_concept"].to_numpy()).tolist()


def test_places_say_where_tokens_stand(whole: Path, session: Session) -> None:
    notes, pics = data(whole, "places/notes/reader"), data(whole, "places/pics/viewer")
    assert pics["grid"] == [GRID, GRID] and set(pics["counts"]) == {GRID * GRID}
    assert all(own == {} for own in pics["tokens"])  # the whole grid in order says nothing
    shown = data(whole, "samples/notes")["samples"]
    assert notes["grid"] is None
    for sample, own in zip(shown, notes["tokens"], strict=True):
        rows = session.sql(f"SELECT * FROM tokens WHERE dataset = 'notes' AND sample = {sample} AND is_content")
        assert own["starts"] == rows["char_start"].to_list() and own["ends"] == rows["char_end"].to_list()
        assert own["numbers"] == rows["token"].to_list()  # token 0 is special


def test_texts_and_labels_stand_in_the_file_as_they_are_and_end_no_script(whole: Path, session: Session) -> None:
    found = data(whole, "samples/notes")
    rows = session.sql("SELECT sample, text FROM samples WHERE dataset = 'notes' AND split = 'test' ORDER BY sample")
    assert found["samples"] == rows["sample"].to_list() and found["texts"] == rows["text"].to_list()
    assert set(TEXTS) <= set(found["texts"])
    carried = session.sql("SELECT sample, label FROM sample_labels WHERE dataset = 'notes'").rows()
    for sample, labels in zip(found["samples"], found["labels"], strict=True):
        assert {LABELS_IN_ORDER[label] for label in labels} == {label for own, label in carried if own == sample}
    # No name that comes from data is a key of an object: __proto__ would not be one.
    for path in (whole / "data").rglob("*.js"):
        assert b'"__proto__":' not in path.read_bytes()


def test_payload_is_ascii_and_refuses_what_json_has_no_word_for() -> None:
    assert payload("a/b", {"x": "\u2028é\U0001f600"}).isascii()
    with pytest.raises(ValueError, match="Out of range float"):
        payload("a", float("nan"))
    for n in range(9):
        assert len(floats(np.zeros(n, dtype=np.float32))) == floats_size(n)
    assert decoded(floats(np.array([1.5, np.nan], dtype=">f4")))[0] == np.float32(1.5)


def test_the_overview_says_what_is_stored_and_what_it_cost(whole: Path, session: Session, world: World) -> None:
    found = data(whole, "overview")
    state = world.warehouse.state()
    assert sum(row["rows"] for row in found["stored"]) == sum(p.rows for p in state.partitions.values())
    assert sum(row["bytes"] for row in found["stored"]) == sum(p.bytes for p in state.partitions.values())
    runs = session.sql("SELECT run, seconds FROM runs ORDER BY started_at, run")
    assert [(row["run"], row["seconds"]) for row in found["runs"]] == runs.rows()
    assert found["stale"] == [] and found["notes"] == []
    assert [(row["slug"], row["test"], row["labels"]) for row in found["datasets"]] == [
        ("notes", 20, 3),
        ("pics", 20, 3),
    ]
    identities = data(whole, "identities")
    assert len(identities) == len(state.partitions)
    assert {row[3] for row in identities} == {p.hash[:16] for p in state.partitions.values()}


def test_the_comparison_is_that_of_compare(whole: Path, session: Session) -> None:
    from superact.metrics.compare import compare

    found = data(whole, "comparison")
    wanted = [*compare(session), *compare(session, layer=1), *compare(session, layer=3)]
    assert len(found) == len(wanted) == 6
    for one, own in zip(found, wanted, strict=True):
        assert (one["layer"], one["labels"], one["positives"]) == (own.layer, own.n_labels, own.n_positive)
        numbers = [(row["concept_set"], row["detector"], row["f1"], row["ci_low"]) for row in own.rows]
        assert [(r["concept_set"], r["detector"], r["f1"], r["ci_low"]) for r in one["rows"]] == numbers


def test_layers_and_separations_are_those_of_the_tables(whole: Path, session: Session) -> None:
    page = data(whole, "layers/pics/viewer")
    wanted = session.sql("SELECT * FROM summary WHERE dataset = 'pics' AND layer_choice = 'fixed'").to_dicts()
    cells = {(r["set"], r["detector"], layer): f1 for r in page["rows"] for layer, f1, _, _ in r["layers"]}
    assert cells == {(r["concept_set"], r["detector"], r["layer"]): r["f1"] for r in wanted}
    best = session.sql("SELECT concept_set, detector, label, layer FROM layer_selection WHERE dataset = 'pics'").rows()
    assert {tuple(r[k] for k in ("concept_set", "detector", "label", "layer")) for r in page["best"]} == set(best)
    for name in SETS:
        rows = session.sql(f"SELECT * FROM separation WHERE dataset = 'pics' AND concept_set = '{name}'").to_dicts()
        own = {(layer, label): cell for layer, label, cell in data(whole, f"distributions/pics/viewer/{name}")["cells"]}
        assert len(own) == len(rows) == 6
        for row in rows:
            found = own[row["layer"], LABELS_IN_ORDER.index(row["label"])]["separation"]
            assert {key: found[key] for key in ("auc", "overlap", "n_in")} == {
                k: row[k] for k in ("auc", "overlap", "n_in")
            }


def test_histograms_are_those_of_distributions(whole: Path, session: Session) -> None:
    for layer, label, cell in data(whole, "distributions/notes/reader/avg")["cells"]:
        rows = session.sql(
            f"SELECT * FROM distributions WHERE dataset = 'notes' AND concept_set = 'avg' AND layer = {layer} "
            "AND label = (SELECT name FROM wanted) ORDER BY population, bin",
            wanted=_one(LABELS_IN_ORDER[label]),
        )
        assert (cell["lo"], cell["hi"]) == (rows["lo"].min(), rows["hi"].max())
        for population in ("in_concept", "out_of_concept"):
            own = rows.filter(rows["population"] == population)["mass"].to_numpy()
            assert np.array_equal(decoded(cell[population]), own.astype(np.float32))


@pytest.mark.parametrize("name", SETS)
def test_a_filled_template_is_the_figure_itself(session: Session, name: str) -> None:
    sides = set()
    for layer in LAYERS:
        for label in LABELS:
            figure = activation_distributions(session, dataset="pics", layer=layer, concept_set=name, label=label)
            wanted = untitled(spec_of(figure))
            rows = session.sql(
                "SELECT d.*, s.threshold FROM distributions AS d JOIN selection AS s "
                "USING (dataset, model, layer, concept_set, label) "
                "WHERE s.detector = 'superactivator' AND d.dataset = 'pics' "
                f"AND d.layer = {layer} AND d.concept_set = '{name}' AND d.label = (SELECT name FROM wanted)",
                wanted=_one(label),
            )
            low, high, threshold = rows["lo"].min(), rows["hi"].max(), rows["threshold"][0]
            assert isinstance(low, float) and isinstance(high, float)
            side = "left" if (threshold - low) / (high - low) < 0.5 else "right"
            template = density_templates(SETS[name])[side]
            found = filled(template, low, high, density(rows), threshold)
            assert plain(found) == plain(wanted)
            sides.add(side)
    assert "right" in sides


def plain(spec: Any) -> Any:
    """A density spec with its data in place of their names, and without the label beside the axis."""
    spec = json.loads(json.dumps(spec))
    sets = spec.pop("datasets")

    def visit(part: Any) -> Any:
        if isinstance(part, list):
            return [visit(one) for one in part]
        if isinstance(part, float):
            return round(part, 9)
        if not isinstance(part, dict):
            return part
        if set(part) == {"name"} and part["name"] in sets:
            return visit(sets[part["name"]])
        return {key: visit(value) for key, value in part.items() if key not in ("description", "title")}

    return visit(spec)


def test_unsupervised_sets_show_the_concept_of_each_detector(tmp_path: Path) -> None:
    warehouse = publish_sae(tmp_path / "wh", sparse_world(3))
    evaluate(warehouse)
    session = superact.open(warehouse.root)
    out = tmp_path / "report"
    build_report(session, out)
    ((dataset, model),) = pairs(out)
    ((name, layer),) = session.sql("SELECT DISTINCT concept_set, layer FROM selection").rows()
    shown = data(out, f"samples/{dataset}")["samples"]
    labels = data(out, "catalogue")["datasets"][0]["labels"]
    at = f"{dataset}/{model}/{name}/{layer}"
    chosen = session.sql("SELECT detector, label, concept FROM selection WHERE concept IS NOT NULL").rows()
    assert chosen
    for detector, label, concept in chosen:
        scores = {own[0]: own for own in data(out, f"scores/{at}/{labels.index(label)}")["detectors"]}
        aggregate = AGGREGATE.get(detector, "max")
        stored = dict(
            session.sql(
                f"SELECT sample, score FROM sample_scores WHERE concept = '{concept}' AND aggregate = '{aggregate}'"
            ).rows()
        )
        assert scores[detector][1] == concept
        assert decoded(scores[detector][2]).tolist() == [stored.get(sample) or 0.0 for sample in shown]
        if detector == "superactivator":
            keys = {"dataset": dataset, "model": model, "concept_set": name, "layer": layer}
            wanted = token_scores(session, label=label, samples=shown, **keys)
            found = decoded(data(out, f"tokens/{at}/{labels.index(label)}")["scores"])
            assert found.tolist() == wanted["score"].to_list() and 0.0 in found


# -- pictures ---


def test_pictures_are_what_the_model_saw_one_a_shown_sample(whole: Path) -> None:
    from PIL import Image

    model = data(whole, "catalogue")["datasets"][1]["models"][0]
    assert model["images"] == f"img/pics/squash-{SIZE}"
    shown = data(whole, "samples/pics")["samples"]
    assert {path.name for path in (whole / model["images"]).iterdir()} == {f"{sample}.webp" for sample in shown}
    with Image.open(whole / model["images"] / f"{shown[3]}.webp") as image:
        assert (image.format, image.size) == ("WEBP", (SIZE, SIZE))


def test_without_pictures_the_report_says_so_once(world: World, session: Session, tmp_path: Path) -> None:
    built = build_report(session, tmp_path / "a", dataset="pics", data_root=tmp_path / "nowhere")
    (line,) = built.notes
    assert line.startswith("No pictures of Pics: ") and "--data-root" in line
    assert data(tmp_path / "a", "overview")["notes"] == [line]
    built = build_report(session, tmp_path / "b", dataset="pics", data_root=world.data_root, images=False)
    assert built.notes == ("No pictures: --no-images was given.",)
    for folder in (tmp_path / "a", tmp_path / "b"):
        assert not (folder / "img").exists()
        assert data(folder, "catalogue")["datasets"][0]["models"][0]["images"] is None


# -- what fits ---


def test_a_sampled_report_says_so_and_counts_all(world: World, session: Session, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    built = build_report(session, out, data_root=world.data_root, samples=8)
    assert [line.split(" test samples")[0] for line in built.notes] == ["8 of 20", "8 of 20"]
    for one in data(out, "catalogue")["datasets"]:
        assert (one["shown"], one["test"]) == (8, 20)
        shown = data(out, f"samples/{one['slug']}")
        every = data(whole, f"samples/{one['slug']}")
        assert set(shown["samples"]) < set(every["samples"])
        for label in range(3):
            carrying = sum(label in own for own in shown["labels"])
            assert 0 < carrying < 8, "both kinds of every label"
    counts = {name: own for name, own in tree(whole).items() if "data/counts/" in name}
    assert counts and {name: own for name, own in tree(out).items() if "data/counts/" in name} == counts


def test_a_budget_keeps_best_layers_and_names_the_rest(
    world: World, session: Session, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Piece] = []

    original = Scores.file

    def noting(self: Scores, piece: Piece, places: Places) -> Any:
        read.append(piece)
        return original(self, piece, places)

    monkeypatch.setattr(Scores, "file", noting)
    size = sum(map(len, tree(whole).values()))
    pieces = sum(len(own) for name, own in tree(whole).items() if "data/tokens/" in name or "data/scores/" in name)
    out = tmp_path / "out"
    budget = size - pieces * 0.6 + 40_000
    built = build_report(session, out, data_root=world.data_root, max_mb=budget / 1e6)
    assert built.bytes <= budget and built.bytes == sum(map(len, tree(out).values()))
    assert any("are left out" in line and "token scores" in line for line in built.notes)
    files = {name for name in tree(out) if "data/tokens/" in name or "data/scores/" in name}
    assert files == {f"data/{piece.name}.js" for piece in read} and 0 < len(files) < 48
    # What the catalogue says is there is there, and nothing else.
    said = {
        f"data/{kind}/{one['slug']}/{model['slug']}/{own['slug']}/{layer['layer']}/{label}.js"
        for one in data(out, "catalogue")["datasets"]
        for model in one["models"]
        for own in model["sets"]
        for layer in own["layers"]
        for kind in ("scores", "tokens")
        for label in layer[kind]
    }
    assert said == files
    # Everything of the best layer of every label of every set comes before any other layer, and scores before those of tokens.
    order = [(piece.set.ranked_layers(piece.label).index(piece.layer), piece.tokens) for piece in read]
    assert order == sorted(order) and {rank for rank, _ in order} == {0, 1}


def test_a_budget_that_is_too_small_leaves_nothing(world: World, session: Session, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"does not fit into 500\.0 kB.*--max-mb"):
        build_report(session, tmp_path / "out", data_root=world.data_root, max_mb=0.5)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadInput, match="larger numbers"):
        build_report(session, tmp_path / "out", max_mb=0)
    with pytest.raises(BadInput, match="larger numbers"):
        build_report(session, tmp_path / "out", samples=0)


def test_choosing_is_seeded_and_keeps_rare_labels() -> None:
    samples = list(range(100, 400))
    labels = [["common"] * (s % 2) + ["rare"] * (s in (123, 321)) for s in samples]
    found = choose(samples, labels, ["common", "rare", "none"], 20)
    assert found == choose(samples, labels, ["common", "rare", "none"], 20) == sorted(set(found)) and len(found) == 20
    assert {123, 321} <= set(found)
    common = sum(s % 2 for s in found)
    assert 5 <= common <= 15
    assert choose(samples, labels, ["common"], 300) == choose(samples, labels, ["common"], 999) == samples
    # Where there is no room for all strata, there still are as many samples as were asked for.
    assert len(choose(samples, labels, ["common", "rare"], 1)) == 1
    assert lacking([["common"]], ["common", "none", "rare"], [150, 0, 2]) == ["rare"]


def test_the_plan_takes_ranks_in_order_and_stops_at_either_budget() -> None:
    dataset = Dataset("d", "D", "text", [], [], {}, [])
    model = Model("m", "M", None, [])
    of = [ConceptSet("dense", "avg", "cosine", {}), ConceptSet("sparse", "sae", "activation", {})]

    def piece(label: int, tokens: bool, size: int, rows: int = 0) -> Piece:
        return Piece(dataset, model, of[label // 4], 1, label, tokens, size, rows)

    found = [(1, piece(0, False, 10)), (0, piece(1, True, 50, 7)), (0, piece(2, False, 10)), (1, piece(3, True, 50, 7))]
    order = [2, 1, 0, 3]
    for budget, n in ((9, 0), (10, 1), (59, 1), (60, 2), (70, 3), (119, 3), (120, 4)):
        kept, left = fit(found, budget)
        assert [own.label for own in (*kept, *left)] == order and len(kept) == n
    assert len(fit(found, 999, most_rows=13)[0]) == 3
    assert len(fit(found, 999, most_rows=6)[0]) == 1
    # Features of one autoencoder are read in one scan, whose rows count once.
    assert len(fit([(0, piece(label, True, 1, 7)) for label in (4, 5, 6)], 999, most_rows=7)[0]) == 3


def test_how_many_samples_are_shown() -> None:
    needs = [Need(1000, 10, 90), Need(30, 10, 0)]
    assert numbers(needs, 1e9, 200) == [200, 30]
    assert numbers(needs, 100 * 100 + 300, 200) == [100, 30]
    assert numbers(needs, 3000, 200) == [40, 30], "scores are left out before samples go below 40"
    assert numbers(needs, 3000, 200, exact=True) == [200, 30]
    assert numbers(needs, 0, 200) == [1, 1]


def test_what_is_stale_or_missing_is_said(tmp_path: Path) -> None:
    own = report_world(tmp_path / "w", images=False, evaluated=False)
    session = superact.open(own.warehouse.root)
    with pytest.raises(MissingTable, match="superact eval"):
        build_report(session, tmp_path / "out")
    evaluate(own.warehouse, ["detect"])
    session = superact.open(own.warehouse.root)
    with pytest.raises(MissingTable, match=r"summary.*superact eval"):
        build_report(session, tmp_path / "out")
    evaluate(own.warehouse, ["detect", "layers"])
    session = superact.open(own.warehouse.root)
    built = build_report(session, tmp_path / "out", images=False)
    assert [line for line in built.notes if line.startswith("No distributions")] == [
        f"No distributions of {name}: run `superact eval distributions`."
        for name in ("Notes | Reader", "Pics | Viewer")
    ]
    assert not (tmp_path / "nothing").exists()
    with own.warehouse.run("test", replace=True) as run:
        write_table(
            run, "labels", [{"label": n, "source": "test", "evaluated": True} for n in LABELS], 2, dataset="pics"
        )
        run.publish()
    build_report(superact.open(own.warehouse.root), tmp_path / "stale", dataset="pics", images=False)
    stale = data(tmp_path / "stale", "overview")["stale"]
    assert {row["table"] for row in stale} >= {"selection", "detection", "summary"}
    arguments = [
        "report",
        "--warehouse",
        str(own.warehouse.root),
        "--out",
        str(tmp_path / "cli"),
        "--dataset",
        "pics",
        "--no-images",
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0 and "stale:" in result.stderr and "of detection" in result.stderr


# -- the folder ---


def test_two_reports_have_the_same_bytes(world: World, session: Session, whole: Path, tmp_path: Path) -> None:
    build_report(session, tmp_path / "again", data_root=world.data_root)
    assert tree(tmp_path / "again") == tree(whole)


def test_a_report_of_one_dataset_has_nothing_of_another(world: World, session: Session, tmp_path: Path) -> None:
    build_report(session, tmp_path / "out", dataset="notes", data_root=world.data_root)
    assert pairs(tmp_path / "out") == [("notes", "reader")]
    assert not any("pics" in name or b"pics" in content for name, content in tree(tmp_path / "out").items())
    with pytest.raises(BadInput, match="nearest: notes"):
        build_report(session, tmp_path / "other", dataset="note")
    with pytest.raises(BadInput, match="reader"):
        build_report(session, tmp_path / "other", model="readers")


def test_folders_that_are_not_reports_are_left_alone(
    world: World, session: Session, whole: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "thesis.txt").write_text("years", encoding="utf-8")
    for replace in (False, True):
        with pytest.raises(BadInput, match="no report"):
            build_report(session, kept, replace=replace)
    with pytest.raises(BadInput, match="is a file"):
        build_report(session, kept / "thesis.txt")
    with pytest.raises(BadInput, match="there is no folder"):
        build_report(session, tmp_path / "a" / "b")
    root = world.warehouse.root
    for place in (root / "report", root / "tables" / "report", root):
        with pytest.raises(BadInput, match="lies in the warehouse"):
            build_report(session, place, replace=True)
    (tmp_path / "link").symlink_to(root / "metrics")
    with pytest.raises(BadInput, match="lies in the warehouse"):
        build_report(session, tmp_path / "link" / "report")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "link"]
    assert tree(kept) == {"thesis.txt": b"years"}


def test_an_earlier_report_is_replaced_whole_or_not_at_all(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    build_report(session, out, dataset="notes", title="first")
    before = tree(out)
    with pytest.raises(BadInput, match="--replace"):
        build_report(session, out)
    original = Site.data

    def failing(self: Site, name: str, value: Any) -> int:
        if name.startswith("scores/"):
            raise OSError(28, "No space left on device")
        return original(self, name, value)

    with monkeypatch.context() as patch:
        patch.setattr(Site, "data", failing)
        with pytest.raises(superact.errors.NotEnoughDisk):
            build_report(session, out, dataset="notes", replace=True)
    assert tree(out) == before and list(tmp_path.iterdir()) == [out]
    (out / "extra.txt").write_text("of the earlier one", encoding="utf-8")
    build_report(session, out, dataset="notes", title="second", replace=True)
    assert "extra.txt" not in tree(out) and data(out, "overview")["title"] == "second"
    assert list(tmp_path.iterdir()) == [out]


def test_a_warehouse_that_changes_meanwhile_gives_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = report_world(tmp_path / "w", images=False)
    session = superact.open(own.warehouse.root)

    original = Scores.file

    def publishing(self: Scores, piece: Piece, places: Places) -> Any:
        monkeypatch.setattr(Scores, "file", original)
        with own.warehouse.run("test", replace=True) as run:
            write_table(run, "models", [{"name": "New", "modality": "text"}], 9, model="other")
            run.publish()
        return original(self, piece, places)

    monkeypatch.setattr(Scores, "file", publishing)
    with pytest.raises(BadInput, match="changed while it was read"):
        build_report(session, tmp_path / "out", dataset="notes", images=False)
    assert not (tmp_path / "out").exists()


# -- the command and the pages ---


def test_the_command(world: World, whole: Path, tmp_path: Path) -> None:
    common = ["report", "--warehouse", str(world.warehouse.root), "--data-root", str(world.data_root)]
    result = CliRunner().invoke(app, [*common, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0 and result.stdout == ""
    assert result.stderr.endswith(f"open {tmp_path / 'out' / 'index.html'}\n") and "stale" not in result.stderr
    assert tree(tmp_path / "out") == tree(whole)
    result = CliRunner().invoke(app, [*common, "--out", str(tmp_path / "out")])
    assert result.exit_code == 3 and "--replace" in result.stderr
    options = [
        "--out",
        str(tmp_path / "out"),
        "--replace",
        "-q",
        "--samples",
        "5",
        "--no-images",
        "--title",
        "Mine <3",
        "--dataset",
        "pics",
    ]
    result = CliRunner().invoke(app, [*common, *options])
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert data(tmp_path / "out", "overview")["title"] == "Mine <3"
    assert CliRunner().invoke(app, [*common]).exit_code == 2
    result = CliRunner().invoke(app, [*common, "--out", str(world.warehouse.root / "tables" / "r")])
    assert result.exit_code == 3 and "lies in the warehouse" in result.stderr


def test_the_page_runs_its_own_scripts_and_nothing_else(whole: Path) -> None:
    page = (whole / "index.html").read_text(encoding="utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy and "default-src 'none'" in policy[1] and "script-src 'self';" in policy[1]
    assert "unsafe-eval" not in policy[1] and "http" not in policy[1]
    scripts = re.findall(r'<script src="([^"]+)"', page)
    assert sorted(scripts) == sorted(f"js/{path.name}" for path in SITE.glob("*.js"))
    assert all((whole / script).is_file() for script in scripts) and "<script>" not in page
    for path in SITE.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|fetch\(|https?://", text
        )
        if path.suffix == ".js":
            assert '"use strict";' in text
    assert not any(path.is_symlink() for path in whole.rglob("*"))


@pytest.mark.parametrize("path", sorted(SITE.glob("*.js")), ids=lambda path: path.name)
def test_scripts_parse(path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node to parse the scripts with")
    done = subprocess.run([node, "--check", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
