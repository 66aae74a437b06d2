"""Every `.sql` file of the metrics and views keeps what its header says: grain, parameters, columns of the schema."""

import re
from importlib.resources import files

import pyarrow.compute as pc
import pytest
from metrics_tables import (
    KEYS,
    LAYER,
    arrow,
    bind_world,
    other_layer,
    publish_world,
    random_world,
    run_tokens,
    run_world,
    write_table,
)
from prompt_tables import answer_rows, place_rows, publish_answers, random_answers
from sae_worlds import active_rows, sparse_world

from superact.metrics.evaluate import evaluate
from superact.metrics.null import evaluate_null, permuted
from superact.metrics.partition import evaluation_connection, hold, hold_query, query
from superact.metrics.prompts import evaluate_prompts
from superact.query.session import VIEWS, Session, run_sql, sql_file
from superact.schemas import tables

FILES = sorted(
    file.name.removesuffix(".sql") for file in files("superact.metrics").iterdir() if file.name.endswith(".sql")
)
UNITS = dict.fromkeys(("sample_scores_cls", "thresholds_cls", "sae_units_cls", "sample_scores_sae_cls"), "cls")
SPARSE = (
    *("sae_statistics", "sae_units_token", "sae_units_cls", "concepts_kept", "sample_scores_sae_token"),
    *("sample_scores_sae_cls", "calibration_sae", "activations_chosen", "activations_filled"),
)
"""Queries over sparse autoencoders, in the order in which they read each other's rows."""
SCHEMAS = {
    "sample_scores_token": "sample_scores",
    "sample_scores_cls": "sample_scores",
    "sample_scores_sae_token": "sample_scores",
    "sample_scores_sae_cls": "sample_scores",
    "sae_units_token": "sae_units",
    "sae_units_cls": "sae_units",
    "concepts_kept": "concepts",
    "calibration_sae": "activations",
    "activations_chosen": "activations",
    "activations_filled": "activations",
    "thresholds_token": "thresholds",
    "thresholds_cls": "thresholds",
    "detection": "detection",
    "detection_best": "detection",
    "selection": "selection",
    "layer_selection": "layer_selection",
    "summary": "summary",
    "null_summary": "null_summary",
    "localization": "localization",
    "distributions": "distributions",
    "separation": "separation",
    "superactivator_ratio": "superactivator_ratio",
    "calibration_tokens": "token_labels",
    "shuffled_token_labels": "token_labels",
    "random_tokens": "tokens",
    "prompt_detection": "prompt_detection",
    "prompt_localization": "prompt_localization",
    "prompt_summary": "summary",
}
COUNTS = ["label", "localizer", "split", "quantile", "tp", "fp", "positives", "n"]
INTERMEDIATE = {
    "outcomes": ["label", "position", "predicted", "truth"],
    "prompt_outcomes": ["label", "position", "predicted", "truth"],
    "sae_statistics": ["feature", "n_active", "max_activation", "mean_activation", "quantiles"],
    "layer_choices": ["layer", "detector", "label", "concept", "delta", "f1_cal", "tp", "fp", "fn"],
    "label_scores": ["label", "sample", "token", "split", "score", "in_concept", "carries"],
    "localization_labels": ["label", "concept", "threshold", "scale", "peak"],
    "localization_weights": ["label", "sample", "token", "global_weight", "local_weight"],
    "localization_threshold": COUNTS,
    "localization_similarity": COUNTS,
    "localization_floors": COUNTS,
    "token_draws": ["sample", "token", "split", "draw"],
}
OF_A_SESSION = {
    "compare": [
        *("dataset", "dataset_name", "model", "model_name", "blocks", "concept_set", "method", "unit", "detector"),
        *("layer_choice", "layer", "f1", "ci_low", "ci_high", "n_labels", "n_positive"),
        *("null_f1", "note", "layers", "seed", "settings"),
    ],
    "compare_prompts": [
        *("dataset", "dataset_name", "model", "model_name", "concept_set", "method", "unit", "detector"),
        *("layer_choice", "layer", "f1", "ci_low", "ci_high", "n_labels", "n_positive", "note"),
    ],
    "compare_floors": ["dataset", "model", "always", "coin", "n_labels", "n_positive"],
}
"""Queries over the views of a session."""
HELD = {"random_tokens", "calibration_tokens", "chosen_labels", "localization_counts", "shuffled_samples"}
HELD |= {"chosen_activations"}
HELD |= INTERMEDIATE.keys()
"""What a query may read beside the tables of the warehouse."""
COMPUTED_LATER = {name: {"ci_low", "ci_high"} for name in ("summary", "prompt_summary")}
MAY_BE_NULL = {(name, "layer") for name in ("summary", "null_summary", "prompt_summary")} | {
    ("compare_floors", "model")
}
TITLES = {
    "localization_threshold": "localization by concept_vector",
    "localization_similarity": "localization by superactivator_global",
    "sample_scores_sae_token": "sample_scores of a sparse autoencoder, unit token",
    "sample_scores_sae_cls": "sample_scores of a sparse autoencoder, unit cls",
    "calibration_sae": "calibration of a sparse autoencoder",
    "concepts_kept": "concepts of a sparse autoencoder that are evaluated",
    "activations_chosen": "activations of a sparse autoencoder for the concepts that detector superactivator chose",
    "activations_filled": "activations of a sparse autoencoder for the concepts of some labels",
}
PATH_AND_STAMP = {"method", "run"}


def header(text: str) -> dict[str, str]:
    lines = [line.removeprefix("--").strip() for line in text.splitlines() if line.startswith("--")]
    return dict(line.split(": ", 1) for line in lines if re.match(r"(grain|reads|parameters): ", line))


def block(text: str, name: str) -> str:
    """The header entry with the lines that continue it: those indented further."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"-- {name}: "))
    found = [lines[start]]
    for line in lines[start + 1 :]:
        if not line.startswith("--   "):
            break
        found.append(line)
    return " ".join(found)


def parameters(text: str) -> set[str]:
    code = "\n".join(line.partition("--")[0] for line in text.splitlines())
    return set(re.findall(r"\$(\w+)", code))


SHAPES = ({"labels": 4}, {"labels": 3, "clusters": 5}, {"labels": 3, "density": 0.05})


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The rows of every file on three worlds: supervised, clusters, and cls where the file is for that unit."""
    found = {name: [] for name in FILES}
    with evaluation_connection() as connection:
        for shape in SHAPES:
            for unit in ("token", "cls"):
                world = random_world(21, samples=25, unit=unit, width=2, **shape)
                run_world(connection, world)
                if unit == "token":
                    run_tokens(connection, world)
                    answers = random_answers(world, 5)
                    hold(connection, "prompt_answers", [arrow("prompt_answers", answer_rows(answers))])
                    hold(connection, "prompt_tokens", [arrow("prompt_tokens", place_rows(world.token_labels))])
                    hold_query(connection, "prompt_detection", query(connection, "prompt_detection"))
                    hold_query(connection, "token_draws", query(connection, "token_draws", seed=5))
                    samples = connection.sql("SELECT sample, split FROM samples ORDER BY sample").to_arrow_table()
                    hold_query(connection, "shuffled_samples", permuted(samples, 0, 0))
                for name in FILES:
                    if UNITS.get(name, "token") == unit and name not in (*OF_A_SESSION, *SPARSE):
                        found[name] += run_file(connection, name, world)
        for unit in ("token", "cls"):
            run_sparse(connection, unit, found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(tmp_path_factory.mktemp("cache")))
        session = evaluated(tmp_path_factory.mktemp("warehouse"))
        for name in OF_A_SESSION:
            for layer in (None, 2):
                given = dict.fromkeys(["dataset", "model", "unit"]) | {"layer": layer}
                found[name].append(run_sql(session.connection, sql_file("superact.metrics", name), **given))
    return found


def run_file(connection, name, world):
    """What one file gives, for both splits where it asks for one."""
    given = {"measure": world.measure, "supervised": world.supervised, "seed": 5, "unit": world.unit, "layer": LAYER}
    given |= {"layers": [LAYER], "chosen_only": not world.supervised, "keep": 2, "detector": world.detectors[0]}
    given |= {"first": min(world.scored, key=str.encode), "last": max(world.scored, key=str.encode), "shuffle": 0}
    if name == "localization_weights":
        given |= {"first": 0, "last": 100}
    if name == "detection_best":
        both = connection.sql("SELECT * EXCLUDE (method, run) FROM detection").to_arrow_table()
        hold_query(connection, "detection", both.filter(pc.field("split") == "cal"))
    for split in ("cal", "test") if "split" in parameters(sql_file("superact.metrics", name)) else ("cal",):
        yield query(connection, name, **given, split=split)
    if name == "detection_best":
        hold_query(connection, "detection", both)


def run_sparse(connection, unit, found):
    """What the files about sparse autoencoders give, each held for those that read it."""
    world = sparse_world(88, labels=4, density=0.5, samples=90, unit=unit)
    bind_world(connection, world)
    hold(connection, "sae_activations", [arrow("sae_activations", active_rows(world))])
    selection = [
        {"detector": "superactivator", "label": label, "concept": concept, "method": "sae", "run": "r"}
        for label, concept in zip(world.evaluated, world.concepts, strict=False)
    ]
    hold(connection, "selection", [arrow("selection", selection)])
    hold_query(connection, "chosen_labels", arrow("selection", selection).select(["label", "concept"]))
    held = {"sae_units_token": "sae_units", "sae_units_cls": "sae_units", "concepts_kept": "concepts"}
    held |= {"sae_statistics": "sae_statistics", "activations_chosen": "chosen_activations"}
    for name in SPARSE:
        own = UNITS.get(name, "token" if name.endswith("_token") else unit)
        if own == unit and (unit == "token" or name not in ("calibration_sae", "activations_filled")):
            ends = (0, 1000) if name == "sae_statistics" else ("0", "9")
            rows = query(connection, name, first=ends[0], last=ends[1])
            found[name].append(rows)
            if name in held:
                hold_query(connection, held[name], rows)


def evaluated(root):
    """A warehouse of two layers and two concept sets with everything that a comparison reads."""
    world = random_world(21, samples=25, labels=4)
    for layer, concept_set in ((1, "avg"), (2, "avg"), (1, "other"), (2, "other")):
        warehouse = publish_world(root, other_layer(world, layer), layer=layer, concept_set=concept_set)
    with warehouse.run("test") as run:
        write_table(run, "datasets", [{"name": "D", "modality": "text", "digest": "x"}], **KEYS)
        write_table(run, "models", [{"name": "M", "modality": "text", "width": 2}], **KEYS)
        run.publish()
    publish_answers(warehouse, random_answers(world, 5))
    evaluate(warehouse)
    evaluate_prompts(warehouse)
    evaluate_null(warehouse, shuffles=1)
    return Session(warehouse)


def test_every_file_is_known_here():
    assert set(FILES) == SCHEMAS.keys() | INTERMEDIATE.keys() | OF_A_SESSION.keys()


@pytest.mark.parametrize("name", FILES)
def test_the_declared_grain_is_unique(results, name):
    text = sql_file("superact.metrics", name)
    grain = [key.strip() for key in re.sub(r"\(.*?\)", "", header(text)["grain"]).split(",")]
    rows = 0
    for table in results[name]:
        keys = list(zip(*(table[key].to_pylist() for key in grain), strict=True))
        assert [key for key in grain if table[key].null_count and (name, key) not in MAY_BE_NULL] == []
        assert len(set(keys)) == len(keys)
        rows += len(keys)
    assert rows > 0


@pytest.mark.parametrize("name", FILES)
def test_the_header_names_the_parameters_used(name):
    text = sql_file("superact.metrics", name)
    assert set(re.findall(r"\$(\w+)", block(text, "parameters"))) == parameters(text)


@pytest.mark.parametrize("name", FILES)
def test_the_header_says_what_the_file_makes_and_reads(name):
    text = sql_file("superact.metrics", name)
    lines = text.splitlines()
    assert lines[0].startswith(f"-- {TITLES.get(name, name.removesuffix('_token').removesuffix('_cls'))}")
    code = "\n".join(line.partition("--")[0] for line in lines)
    made = {found.lower() for found in re.findall(r"^(?:WITH )?(\w+)(?: \([^)]*\))? AS \(", code, re.MULTILINE)}
    read = set(re.findall(r"(?<!DISTINCT )(?:FROM|JOIN) (\w+)", code)) - made - {"detectors"}
    declared = block(text, "reads")
    assert read == {name for name in re.findall(r"[a-z_]+", declared) if name in {*tables(), *VIEWS, *HELD}}


@pytest.mark.parametrize("name", FILES)
def test_every_column_is_in_the_schema(results, name):
    for rows in results[name]:
        if name not in SCHEMAS:
            assert rows.column_names == {**INTERMEDIATE, **OF_A_SESSION}[name]
            continue
        schema = tables()[SCHEMAS[name]]
        known = {column.name: column.sql_type for column in schema.columns}
        assert set(rows.column_names) <= known.keys()
        if schema.room == "metrics" or schema.name == "sample_scores":
            missing = {column.name for column in schema.stored} - set(rows.column_names) - PATH_AND_STAMP
            assert missing - {"layer"} == COMPUTED_LATER.get(name, set())
            wanted = schema.arrow_schema()
            assert {f.name: f.type for f in rows.schema if f.name in wanted.names} == {
                f.name: wanted.field(f.name).type for f in rows.schema if f.name in wanted.names
            }


@pytest.mark.parametrize("name", SCHEMAS)
def test_rows_fit_the_schema_s_nulls(results, name):
    required = {column.name for column in tables()[SCHEMAS[name]].columns if not column.nullable}
    for rows in results[name]:
        assert [c for c in rows.column_names if c in required and rows[c].null_count] == []


@pytest.mark.parametrize("name", VIEWS)
def test_views_have_no_parameters(name):
    assert parameters(sql_file("superact.query.views", name)) == set()
