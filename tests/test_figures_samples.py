"""Figures of samples: token scores, ranks and pictures against the oracle, plain SQL and grids made by hand."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import oracles
import polars as pl
import pytest
from figure_worlds import data_of
from metrics_tables import KEYS, publish_world, random_world
from PIL import Image
from sae_worlds import SAE, publish_sae, sparse_world
from sample_worlds import IMAGES, SIZES, TEXTS, image_world, text_world

from superact.errors import BadInput, MissingTable
from superact.figures import image_concepts, outcome_gallery, save, top_patches
from superact.figures.galleries import strongest
from superact.figures.outlines import boundary, mask_of
from superact.figures.passages import comparison, number
from superact.figures.pictures import Pictures, View
from superact.figures.samples import Selected, ranked_samples, selected, token_scores
from superact.figures.selected import place
from superact.metrics.evaluate import Protocol, evaluate
from superact.query import Session
from superact.store import Warehouse

WHERE = {name: KEYS[name] for name in ("dataset", "model", "layer", "concept_set")}
TOYS = {name: IMAGES[name] for name in ("dataset", "model", "layer", "concept_set")}
COLUMNS = {
    "sample": pl.Int32,
    "token": pl.Int32,
    "text": pl.String,
    "char_start": pl.Int32,
    "char_end": pl.Int32,
    "row": pl.Int32,
    "col": pl.Int32,
    "score": pl.Float32,
    "in_concept": pl.Boolean,
    "superactivator": pl.Boolean,
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module", params=sorted(SIZES))
def toys(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An evaluated world of images of each geometry."""
    root = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(root / "cache"))
        image_world(root, request.param)
        yield root


def judged(warehouse: Warehouse, seed: int = 0) -> Session:
    evaluate(warehouse, ("detect",), protocol=Protocol(seed=seed, replicates=5), threads=1)
    return Session(warehouse, threads=1)


def outcome_counts(ranked: pl.DataFrame) -> tuple[int, ...]:
    return tuple(int((ranked["outcome"] == name).sum()) for name in ("tp", "fp", "fn", "tn"))


@pytest.mark.parametrize("kind", ["supervised", "clusters", "sae"])
@pytest.mark.parametrize("unit", ["token", "cls"])
def test_ranks_and_token_scores_are_those_of_the_oracle_at_every_delta(tmp_path: Path, kind: str, unit: str) -> None:
    compared = outlined = 0
    for seed in (1, 2):
        root = tmp_path / str(seed)
        if kind == "sae":
            world = sparse_world(seed, samples=24, features=8, unit=unit, labels=2)
            session, where = judged(publish_sae(root, world)), {**WHERE, "concept_set": SAE["concept_set"]}
        else:
            world = random_world(seed, samples=24, labels=2, unit=unit, clusters=4 if kind == "clusters" else 0)
            session, where = judged(publish_world(root, world), world.seed), WHERE
        chosen = session.sql("SELECT detector, label, concept FROM selection WHERE concept IS NOT NULL").rows()
        cuts = oracles.thresholds(world)
        tested = {split: oracles.detection(world, split) for split in ("cal", "test")}
        rolled = oracles.sample_scores(world)
        for detector, label, concept in chosen:
            for delta in oracles.LEVELS:
                keys = {**where, "label": label, "delta": delta}
                for split, wanted in tested.items():
                    ranked = ranked_samples(session, **keys, detector=detector, split=split)
                    assert outcome_counts(ranked) == wanted[detector, label, concept, delta][:4]
                    aggregate = oracles.AGGREGATES[unit][detector]
                    scores = [rolled[concept, sample, aggregate] for sample in ranked["sample"]]
                    missing = 0.0 if kind == "sae" else None
                    assert ranked["score"].to_list() == [missing if score is None else score for score in scores]
                    compared += 1
                if detector == "superactivator":
                    cut = np.float32(cuts[detector, label, concept, delta][0])
                    outlined += check_tokens(session, world, keys, concept, label, cut)
    assert compared >= 48 and (outlined > 40 or unit == "cls")


def check_tokens(
    session: Session, world: oracles.World, keys: dict[str, Any], concept: str, label: str, cut: np.float32
) -> int:
    """Compare the tokens of every third sample; the number of superactivators among them."""
    samples = sorted(world.samples)[::3]
    wanted = [
        (
            s,
            t,
            world.scores[concept, s, t],
            (s, t, label) in world.token_labels,
            bool(world.scores[concept, s, t] >= cut),
        )
        for s, t in sorted(world.tokens)
        if s in samples and world.tokens[s, t]
    ]
    found = token_scores(session, **keys, samples=samples[::-1])
    assert found.schema == COLUMNS
    assert found.select("sample", "token", "score", "in_concept", "superactivator").rows() == wanted
    return sum(row[-1] for row in wanted)


def test_ranks_begin_with_the_largest_score_and_samples_without_one_come_last(tmp_path: Path) -> None:
    world = random_world(3, samples=40)
    session = judged(publish_world(tmp_path, world), world.seed)
    label = session.sql("SELECT label FROM selection WHERE detector = 'superactivator' AND concept IS NOT NULL")[
        "label"
    ][0]
    ranked = ranked_samples(session, **WHERE, label=label, split="cal")
    assert sorted(ranked["sample"]) == world.split("cal")
    scores = [
        (-score if score is not None else 1e9, sample) for sample, score in ranked.select("sample", "score").rows()
    ]
    assert scores == sorted(scores)
    assert ranked["score"].null_count() > 0
    assert not ranked.filter(pl.col("score").is_null())["detected"].any()


def test_without_a_delta_the_selected_threshold_holds(tmp_path: Path) -> None:
    text_world(tmp_path)
    session = Session(Warehouse(tmp_path / "wh"))
    keys = {name: TEXTS[name] for name in ("dataset", "model", "layer", "concept_set")}
    choice = selected(session, **keys, label="praise")
    assert choice == Selected(
        **keys,
        unit="token",
        detector="superactivator",
        label="praise",
        concept="praise",
        delta=0.02,
        threshold=4.0,
        f1_cal=1.0,
        measure="signed_distance",
        aggregate="max",
    )
    marked = session.sql("SELECT sample, token, score FROM superactivators WHERE label = 'praise' ORDER BY ALL").rows()
    found = token_scores(session, **keys, label="praise", samples=range(8)).filter("superactivator")
    assert found.select("sample", "token", "score").rows() == marked
    assert token_scores(session, **keys, label="praise", samples=[]).schema == COLUMNS


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"dataset": "nots"}, "There is no dataset 'nots'. The nearest: notes."),
        ({"model": "x"}, "There is no model 'x' of notes. The nearest: reader."),
        ({"layer": 3}, "There is no layer 3 of notes reader. The nearest: 2."),
        ({"concept_set": "linsp"}, "There is no concept set 'linsp' of notes reader 2. The nearest: linsep."),
        ({"label": "prais"}, "There is no label 'prais' of notes. The nearest: praise."),
        (
            {"label": "never"},
            "never has no threshold in concept set linsep at layer 2: nothing could be selected on cal.",
        ),
        ({"delta": 0.33}, "There is no delta 0.33. The nearest: 0.1, 0.2, 0.3, 0.4, 0.5."),
        ({"delta": 2.0}, "2.0 is no delta"),
        ({"samples": [1, 9, 8]}, "There is no sample 8 of notes. Its samples are 0 to 7."),
        ({"samples": [-1]}, "There is no sample -1 of notes. Its samples are 0 to 7."),
        ({"samples": [2**40]}, "There is no sample 1099511627776 of notes."),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    session = Session(text_world(tmp_path))
    keys = {name: TEXTS[name] for name in ("dataset", "model", "layer", "concept_set")}
    with pytest.raises(BadInput) as error:
        token_scores(session, **{**keys, "label": "praise", "samples": [0], **changed})
    assert str(error.value).startswith(said)


def test_a_detector_and_a_split_are_checked(tmp_path: Path) -> None:
    session = Session(text_world(tmp_path))
    keys = {name: TEXTS[name] for name in ("dataset", "model", "layer", "concept_set")}
    with pytest.raises(BadInput, match=r"There is no detector 'max'. The nearest: max_token"):
        ranked_samples(session, **keys, label="praise", detector="max")
    with pytest.raises(BadInput, match=r"There is no split 'tests'. The nearest: test"):
        ranked_samples(session, **keys, label="praise", split="tests")
    with pytest.raises(BadInput, match=r"There is no unit 'cls' of notes reader 2 linsep\."):
        ranked_samples(session, **keys, label="praise", detector="cls")


def test_before_eval_the_command_is_named(tmp_path: Path) -> None:
    session = Session(publish_world(tmp_path, random_world(1)))
    label = session.sql("SELECT label FROM labels WHERE evaluated")["label"][0]
    with pytest.raises(MissingTable, match="`superact eval --dataset d --model m` first"):
        token_scores(session, **WHERE, label=label, samples=[0])
    with pytest.raises(MissingTable, match="superact eval"):
        place(session, None, None, None, None)


def test_dropped_activations_are_named(tmp_path: Path) -> None:
    warehouse = text_world(tmp_path)
    warehouse.remove([p.partition for p in warehouse.state().select("activations")], "drop")
    keys = {name: TEXTS[name] for name in ("dataset", "model", "layer", "concept_set")}
    with pytest.raises(
        MissingTable, match=r"needs activations of dataset notes .* concept_set linsep.*`superact score`"
    ):
        token_scores(Session(warehouse), **keys, label="praise", samples=[0])


def drawn(segments: list[tuple[int, int, int, int]], scale: int = 2) -> set[tuple[int, int]]:
    """The points half a patch apart that lines run over."""
    points = set()
    for x1, y1, x2, y2 in segments:
        points |= {(x, y) for x in range(x1 * scale, x2 * scale + 1) for y in range(y1 * scale, y2 * scale + 1)}
    return points


def test_the_boundary_of_one_patch_is_its_four_sides() -> None:
    mask = mask_of([(1, 2)], (3, 4))
    assert boundary(mask) == [(2, 1, 3, 1), (2, 2, 3, 2), (2, 1, 2, 2), (3, 1, 3, 2)]


def test_a_boundary_has_no_line_between_two_patches_of_the_set() -> None:
    corner = mask_of([(0, 0), (0, 1), (1, 0)], (2, 3))
    assert boundary(corner) == [
        (0, 0, 2, 0), (1, 1, 2, 1), (0, 2, 1, 2),  # from the top
        (0, 0, 0, 2), (2, 0, 2, 1), (1, 1, 1, 2),  # the upright ones, from the top
    ]  # fmt: skip


def test_a_hole_and_regions_that_touch_in_a_corner_have_outlines_of_their_own() -> None:
    ring = np.ones((3, 3), dtype=bool)
    ring[1, 1] = False
    assert (1, 1, 2, 1) in boundary(ring) and (1, 1, 1, 2) in boundary(ring) and len(boundary(ring)) == 8
    diagonal = mask_of([(0, 0), (1, 1)], (2, 2))
    assert len(boundary(diagonal)) == 8


def test_nothing_has_no_boundary_and_everything_that_of_the_grid() -> None:
    assert boundary(np.zeros((3, 5), dtype=bool)) == []
    assert boundary(np.ones((3, 5), dtype=bool)) == [(0, 0, 5, 0), (0, 3, 5, 3), (0, 0, 0, 3), (5, 0, 5, 3)]


def test_boundaries_run_where_neighbours_differ_and_nowhere_else() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = rng.random((5, 7)) < rng.random()
        padded = np.pad(mask, 1)
        wanted = {(2 * x + 1, 2 * y) for y in range(6) for x in range(7) if padded[y, x + 1] != padded[y + 1, x + 1]}
        wanted |= {(2 * x, 2 * y + 1) for y in range(5) for x in range(8) if padded[y + 1, x] != padded[y + 1, x + 1]}
        middles = {point for point in drawn(boundary(mask)) if (point[0] + point[1]) % 2}
        assert middles == wanted


def test_a_picture_is_what_the_model_saw_and_lies_where_its_patches_do(toys: Path) -> None:
    pictures = Pictures(Session(Warehouse(toys / "wh")), "toys", "eye", toys / "Data")
    width, height = SIZES[pictures.geometry.kind]
    assert (pictures.grid, pictures.size) == ((4, 4), 56)
    assert pictures.original(3).size == (width, height) and pictures.input(3).size == (56, 56)
    assert pictures.original(3).getpixel((0, 0)) == (60, 60, 60)
    views = {
        "squash": View(4, 4, 0, 0, 4, 4, 2.0),  # patches of 15 x 7.5 pixels
        "crop": View(4, 4, -1.0, 0, 6, 4, 1.0),  # patches of 10 pixels, one of them cut off on each side
        "letterbox": View(4, 2, 0, 0, 4, 2, 1.0),  # two rows of padding
    }
    assert pictures.view(3) == views[pictures.geometry.kind]
    assert pictures.seen(3).size == ((56, 28) if pictures.geometry.kind == "letterbox" else (56, 56))


def test_images_that_are_not_there_are_named(toys: Path, tmp_path: Path) -> None:
    session = Session(Warehouse(toys / "wh"))
    with pytest.raises(BadInput) as error:
        image_concepts(session, data_root=tmp_path)
    assert re.match(
        r"/.*images/4\.png does not exist: it is the image of sample 4 of toys\. .*--data-root", str(error.value)
    )
    with pytest.raises(BadInput, match=r"There is no sample 99 of toys. Its samples are 0 to 8."):
        image_concepts(session, sample=99, data_root=toys / "Data")


def test_pictures_need_images_whose_geometry_is_known(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="notes is a dataset of texts"):
        Pictures(Session(text_world(tmp_path / "texts")), "notes", "reader")
    warehouse = image_world(tmp_path / "toys")
    rows = [dict(row) for row in Session(warehouse).sql("FROM tokens").drop("dataset", "model").to_dicts()]
    with warehouse.run("test", replace=True) as run:
        from metrics_tables import arrow

        run.partition("tokens", {"test": "imported"}, dataset="toys", model="eye").write(0, [arrow("tokens", rows)])
        run.publish()
    with pytest.raises(BadInput, match="tokens of toys under eye were imported"):
        Pictures(Session(warehouse), "toys", "eye")
    with pytest.raises(MissingTable, match="needs tokens of dataset toys model nobody"):
        Pictures(Session(warehouse), "toys", "nobody")


def test_a_picture_of_concepts_holds_the_numbers_of_the_warehouse(toys: Path) -> None:
    session = Session(Warehouse(toys / "wh"))
    chart = image_concepts(session, sample=4, data_root=toys / "Data")
    wanted = session.sql(
        "SELECT a.token, a.cosine AS score FROM activations AS a JOIN tokens AS t USING (dataset, model, sample, token) "
        "WHERE a.sample = 4 AND t.is_content ORDER BY a.token"
    ).rows()
    cells = data_of(chart, "token", "score")
    assert [(cell["token"], np.float32(cell["score"])) for cell in cells] == wanted
    choice = selected(session, **TOYS, label="spot")
    best = max(score for _, score in wanted)
    said = f"layer 2: score {comparison(best, choice.threshold, best >= choice.threshold)}"
    spec = chart.to_dict()
    assert said in str(spec) and "carries the label: true positive" in str(spec)
    assert spec["title"]["text"] == "Toys | Eye 1B | sample 4 (test)"
    assert "sample 4, spot: layer 2: score" in spec["description"]


def test_the_outlines_are_the_boundaries_of_truth_and_superactivators(toys: Path) -> None:
    session = Session(Warehouse(toys / "wh"))
    chart = image_concepts(session, sample=4, label="spot", data_root=toys / "Data")
    lines = [tuple(line[name] for name in ("x", "y", "x2", "y2")) for line in data_of(chart, "x", "y", "x2", "y2")]
    marked = session.sql("SELECT token FROM superactivators WHERE sample = 4")["token"].to_list()
    truth = boundary(mask_of([(1, 1), (1, 2)], (4, 4)))
    superactivators = boundary(mask_of([divmod(token, 4) for token in marked], (4, 4)))
    assert marked and set(truth + superactivators) <= set(lines)


def test_a_sample_without_mark_has_no_outline(tmp_path: Path) -> None:
    image_world(tmp_path)
    session = Session(Warehouse(tmp_path / "wh"))
    bare = next(
        sample
        for (sample,) in session.sql("SELECT sample FROM samples WHERE sample % 2 = 1 ORDER BY sample").rows()
        if session.sql(f"SELECT * FROM superactivators WHERE sample = {sample}").is_empty()
    )
    chart = image_concepts(session, sample=bare, label="spot", data_root=tmp_path / "Data")
    rules = str(chart.to_dict()).count("'type': 'rule'")
    assert rules == 0 and "does not carry it: true negative" in str(chart.to_dict())


def test_every_format_is_saved_and_the_svg_says_what_it_shows(toys: Path, tmp_path: Path) -> None:
    chart = image_concepts(toys / "wh", data_root=toys / "Data")
    begins = {"png": b"\x89PNG", "svg": b"<svg ", "pdf": b"%PDF-", "html": b"<!DOCTYPE html>"}
    for kind, first in begins.items():
        assert save(chart, tmp_path / f"x.{kind}").read_bytes().startswith(first)
    text = (tmp_path / "x.svg").read_text()
    assert ElementTree.fromstring(text).get("aria-label", "").startswith("sample 4 (test) of Toys. sample 4, spot")
    with Image.open(tmp_path / "x.png") as picture:
        assert min(picture.size) > 300


def test_pictures_in_a_chart_are_the_images(tmp_path: Path) -> None:
    image_world(tmp_path)
    chart = image_concepts(tmp_path / "wh", sample=8, data_root=tmp_path / "Data")
    urls = [record["url"] for record in data_of(chart, "url")]
    kinds = [url.partition(";")[0] for url in urls]
    assert kinds == ["data:image/jpeg", "data:image/jpeg", "data:image/png"]
    with Image.open(io.BytesIO(base64.b64decode(urls[0].partition(",")[2]))) as picture:
        assert picture.size == SIZES["squash"] and abs(picture.convert("L").getpixel((5, 5)) - 160) < 3


@pytest.mark.parametrize("per_sample", [1, 2, None])
def test_top_patches_are_those_of_plain_sql(tmp_path: Path, per_sample: int | None) -> None:
    image_world(tmp_path)
    session = Session(Warehouse(tmp_path / "wh"))
    rows = session.sql(
        "SELECT sample, token, score, in_concept FROM scores WHERE split = 'test' ORDER BY score DESC, sample, token"
    ).rows()
    wanted, seen = [], []
    for row in rows:
        if per_sample is None or seen.count(row[0]) < per_sample:
            wanted.append(row)
            seen.append(row[0])
    at = place(session, "image", None, None, None)
    choice = at.of("spot", None, None)
    top = strongest(at, choice, 5, per_sample)
    assert top.drop("superactivator").rows() == wanted[:5]
    assert top["superactivator"].to_list() == [bool(row[2] >= np.float32(choice.threshold)) for row in wanted[:5]]
    text = str(top_patches(session, data_root=tmp_path / "Data", k=5, per_sample=per_sample).to_dict())
    for rank, (sample, token, score, _) in enumerate(wanted[:5], 1):
        assert f"'{rank}. {number(score)}'" in text and f"'sample {sample}, patch {token}'" in text


def test_top_features_of_an_autoencoder_are_those_of_plain_sql(tmp_path: Path) -> None:
    session = judged(publish_sae(tmp_path, sparse_world(5, samples=60, features=8, labels=2)))
    label, concept = session.sql(
        "SELECT label, concept FROM selection WHERE detector = 'superactivator' AND concept IS NOT NULL"
    ).row(0)
    at = place(session, None, "d", "m", "sae")
    top = strongest(at, at.of(label, 1, None), 4, None)
    wanted = session.sql(
        "SELECT f.sample, f.token, f.activation FROM sae_activations AS f JOIN samples AS s USING (dataset, sample) "
        f"WHERE s.split = 'test' AND f.feature = {concept} ORDER BY f.activation DESC, f.sample, f.token LIMIT 4"
    ).rows()
    assert wanted and top.select("sample", "token", "score").rows() == wanted


def test_fewer_than_one_patch_is_refused(tmp_path: Path) -> None:
    image_world(tmp_path)
    for options in ({"k": 0}, {"per_sample": 0}):
        with pytest.raises(BadInput, match="Fewer than one"):
            top_patches(tmp_path / "wh", data_root=tmp_path / "Data", **options)


def test_a_gallery_counts_every_outcome_and_shows_the_first_of_each(tmp_path: Path) -> None:
    image_world(tmp_path, samples=36)
    session = Session(Warehouse(tmp_path / "wh"))
    ranked = ranked_samples(session, **TOYS, label="spot")
    chart = outcome_gallery(session, data_root=tmp_path / "Data", k=2)
    text = str(chart.to_dict())
    for name, words in {"tp": "True positives", "fp": "False positives", "tn": "True negatives"}.items():
        own = ranked.filter(pl.col("outcome") == name)["sample"].to_list()
        first = ", the first 2" if len(own) > 2 else ""
        assert (f"{words}: {len(own)}{first}'" in text) == bool(own)
        assert all(f"'Sample {sample}'" in text for sample in own[:2])
        assert not any(f"'Sample {sample}'" in text for sample in own[2:])


def test_the_dataset_of_the_right_kind_is_taken_and_the_other_refused(tmp_path: Path) -> None:
    text_world(tmp_path)
    image_world(tmp_path)
    session = Session(Warehouse(tmp_path / "wh"))
    assert place(session, "image", None, None, None).dataset == "toys"
    assert place(session, "text", None, None, None).dataset == "notes"
    with pytest.raises(BadInput, match="There are several datasets: notes, toys"):
        place(session, None, None, None, None)
    with pytest.raises(BadInput, match=r"notes is no dataset of images. Its figures are text_concepts and top_tokens"):
        place(session, "image", "notes", None, None)


def test_nothing_heavy_is_imported_before_a_figure_is_drawn() -> None:
    code = (
        "import sys, superact.figures.images, superact.figures.galleries, superact.figures.texts, superact.figures.shown, "
        "superact.figures.terminal, superact.figures.samples\n"
        "print(sorted({'torch', 'transformers', 'altair', 'PIL', 'vl_convert', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "[]\n"
