"""Every `.sql` file of the metrics and views keeps what its header says: grain, parameters, columns of the schema."""

import re
from importlib.resources import files

import pytest
from metrics_tables import bind_world, random_world, rolled_up

from superact.metrics.evaluate import detect
from superact.metrics.partition import evaluation_connection, query
from superact.query.session import VIEWS, sql_file
from superact.schemas import tables

FILES = sorted(
    file.name.removesuffix(".sql") for file in files("superact.metrics").iterdir() if file.name.endswith(".sql")
)
UNITS = {"sample_scores_cls": "cls", "thresholds_cls": "cls"}
SCHEMAS = {
    "sample_scores_token": "sample_scores",
    "sample_scores_cls": "sample_scores",
    "thresholds_token": "thresholds",
    "thresholds_cls": "thresholds",
    "detection": "detection",
    "selection": "selection",
    "summary": "summary",
    "calibration_tokens": "token_labels",
    "random_tokens": "tokens",
}
INTERMEDIATE = {"outcomes": ["label", "position", "predicted", "truth"]}
COMPUTED_LATER = {"summary": {"ci_low", "ci_high"}}
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


@pytest.fixture(scope="module")
def connection():
    with evaluation_connection() as connection:
        yield connection


def results(connection, name):
    """The rows of one file on three worlds: supervised, clusters, and cls where the file is for that unit."""
    for shape in ({"labels": 4}, {"labels": 3, "clusters": 5}, {"labels": 3, "density": 0.05}):
        world = random_world(21, samples=25, unit=UNITS.get(name, "token"), **shape)
        bind_world(connection, world)
        ranges = rolled_up(connection, world)
        detect(connection, ranges, unit=world.unit, measure=world.measure, supervised=world.supervised)
        first, last = (ranges or [("", "")])[0]
        given = {"first": first, "last": last, "measure": world.measure, "supervised": world.supervised, "seed": 5}
        given |= {"unit": world.unit, "layer": 1, "chosen_only": not world.supervised}
        for split in ("cal", "test") if "split" in parameters(sql_file("superact.metrics", name)) else ("cal",):
            yield query(connection, name, **given, split=split, detector=world.detectors[0])


def test_every_file_is_known_here():
    assert set(FILES) == SCHEMAS.keys() | INTERMEDIATE.keys()


@pytest.mark.parametrize("name", FILES)
def test_the_declared_grain_is_unique(connection, name):
    text = sql_file("superact.metrics", name)
    grain = [key.strip() for key in re.sub(r"\(.*?\)", "", header(text)["grain"]).split(",")]
    rows = 0
    for table in results(connection, name):
        keys = list(zip(*(table[key].to_pylist() for key in grain), strict=True))
        assert None not in {value for key in keys for value in key}
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
    assert lines[0].startswith(f"-- {name.removesuffix('_token').removesuffix('_cls')}")
    code = "\n".join(line.partition("--")[0] for line in lines)
    made = {found.lower() for found in re.findall(r"^(?:WITH )?(\w+)(?: \([^)]*\))? AS \(", code, re.MULTILINE)}
    read = set(re.findall(r"(?:FROM|JOIN) (\w+)", code)) - made - {"detectors"}
    declared = block(text, "reads")
    assert read == {
        name
        for name in re.findall(r"[a-z_]+", declared)
        if name in set(tables()) | {"random_tokens", "calibration_tokens"}
    }


@pytest.mark.parametrize("name", FILES)
def test_every_column_is_in_the_schema(connection, name):
    for rows in results(connection, name):
        if name in INTERMEDIATE:
            assert rows.column_names == INTERMEDIATE[name]
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
def test_rows_fit_the_schema_s_nulls(connection, name):
    required = {column.name for column in tables()[SCHEMAS[name]].columns if not column.nullable}
    for rows in results(connection, name):
        assert [c for c in rows.column_names if c in required and rows[c].null_count] == []


@pytest.mark.parametrize("name", VIEWS)
def test_views_have_no_parameters(name):
    assert parameters(sql_file("superact.query.views", name)) == set()
