"""From what a figure is given (a warehouse, or a frame) to the rows it draws, and to what its title says.

A name that is left out is taken where there is one, and asked for where there are several; one that is not there is an error
that suggests the nearest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from superact.errors import BadInput, MissingTable
from superact.figures.about import About, about_frame
from superact.figures.theme import DETECTORS
from superact.query.names import check_known, unknown

if TYPE_CHECKING:
    import polars as pl

    from superact.query import Session
    from superact.store import State

    Source = Session | str | Path | pl.DataFrame | pl.LazyFrame
    """What a figure is drawn from: an open warehouse, the path of one, or a frame with the columns that the figure names."""

PACKAGE = "superact.figures"
PREFERRED = ("linsep", "avg")
"""The concept set of a figure that shows one, where several are there and none is named: the first of these, else the first."""

_MEASURED = {"unit": ("token", "cls")}
"""The partitions that are of activations: a prompted model, too, has a partition of table summary."""

Strings = str | Sequence[str] | None
Numbers = int | Sequence[int] | None
Item = TypeVar("Item")


def is_frame(source: Any) -> bool:
    """True for a Polars frame, eager or lazy."""
    import polars as pl

    return isinstance(source, (pl.DataFrame, pl.LazyFrame))


def session_of(source: Any) -> Session:
    """The open warehouse that a source is, or the path of one. Errors: BadInput for anything else."""
    from superact.query import Session
    from superact.store import Warehouse

    if isinstance(source, Session):
        return source
    if isinstance(source, Warehouse):
        return Session(source)
    if isinstance(source, (str, Path)):
        return Session(Warehouse.open(source))
    raise BadInput(
        what=f"A figure cannot be drawn from a {type(source).__name__}.",
        remedy="Give what superact.open() returns, the path of a warehouse, or a Polars frame.",
    )


def opened(source: Any) -> Any:
    """A source ready to be asked more than once: a frame as it is, a path as an open warehouse."""
    return source if is_frame(source) else session_of(source)


def listed(value: Any) -> list[Any] | None:
    """One name or several as a list; None, which is any, stays None."""
    if value is None:
        return None
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]


def run(session: Session, package: str, name: str, **parameters: Any) -> pl.DataFrame:
    """The rows of one `.sql` file, run with those of the parameters that it mentions."""
    import polars as pl
    import pyarrow as pa

    from superact.query.session import sql_file, used_parameters

    text = sql_file(package, name)
    with session.stream_own(text, used_parameters(text, parameters)) as found:
        return pl.DataFrame(pl.from_arrow(pa.Table.from_batches(list(found), found.schema)))


def frame(source: Source, package: str, name: str, columns: Sequence[str], parameters: dict[str, Any]) -> pl.DataFrame:
    """The rows a figure draws: those of its query, or a given frame, narrowed to the parameters that are columns of it.

    Errors: BadInput for a frame that lacks some of `columns`.
    """
    import polars as pl

    if not is_frame(source):
        return run(session_of(source), package, name, **parameters)
    given: pl.DataFrame = source.collect() if isinstance(source, pl.LazyFrame) else source  # type: ignore[assignment]
    missing = [column for column in columns if column not in given.columns]
    if missing:
        raise BadInput(
            what=f"The frame lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}.",
            remedy=f"Figure {name} needs {', '.join(columns)}.",
        )
    for column, value in parameters.items():
        key = column if column in given.columns else column.removesuffix("s")
        values = listed(value)
        if values is not None and key in given.columns:
            given = given.filter(pl.col(key).is_in(values))
    return given


def pick(session: Session, table: str, **wanted: Any) -> dict[str, Any]:
    """The path keys of one dataset, model, ... of a table: what is wanted, or the only one there is.

    Keys are settled in the order given, each among the partitions that have those before it. A concept set that is not named is
    the one of PREFERRED. Errors: BadInput for a name that is not there, or that is needed and was not given; MissingTable where
    the table has nothing.
    """
    state = session.warehouse.state()
    _check_there(session, state, table, {name: value for name, value in wanted.items() if value is not None})
    chosen: dict[str, Any] = {}
    for name, value in wanted.items():
        known = sorted({dict(found.partition.keys)[name] for found in state.select(table, **_MEASURED, **chosen)})
        if value is None and name == "concept_set":
            value = next((one for one in PREFERRED if one in known), known[0])
        elif value is None and len(known) > 1:
            words = name.replace("_", " ")
            raise BadInput(
                what=f"There are several {words}s: {', '.join(map(str, known))}.",
                remedy=f"Say which with {name}= (--{name.replace('_', '-')} on the command line).",
            )
        chosen[name] = known[0] if value is None else value
    return chosen


def _check_there(session: Session, state: State, table: str, wanted: dict[str, Any]) -> None:
    """Raise BadInput for names that are nowhere, MissingTable where they are and the table has none of them."""
    check_known(state, table, **wanted)
    if state.select(table, **{**_MEASURED, **wanted}):
        return
    check_known(state, "concepts", **wanted)
    options = [f"--{name.replace('_', '-')} {value}" for name, value in wanted.items() if name in ("dataset", "model")]
    raise MissingTable(
        stage="this figure",
        table=table,
        where=" ".join(map(str, wanted.values())) or "any dataset",
        warehouse=session.warehouse.root,
        command=" ".join(["superact eval", *options]),
    )


def weighted(data: pl.DataFrame, by: Sequence[str], *measures: str) -> pl.DataFrame:
    """Means over labels, weighted by the test samples that carry each (column n_positive), in the order of first rows."""
    import polars as pl

    n = pl.col("n_positive")
    means = [((pl.col(name) * n).sum() / n.sum()).alias(name) for name in measures]
    return data.filter(n > 0).group_by(by, maintain_order=True).agg(*means)


def check_grain(data: pl.DataFrame, grain: Sequence[str], figure: str) -> None:
    """Raise BadInput for a frame with several rows where a figure draws one, such as those of several layers."""
    grain = [column for column in grain if column in data.columns]
    if data.select(grain).is_duplicated().any():
        raise BadInput(
            what=f"There are several rows a {', '.join(grain)}, where {figure} draws one.",
            remedy="Name one layer; of a frame, keep one layer and split.",
        )


def labels_that_fit(data: pl.DataFrame, label: Strings, most: int) -> list[str]:
    """The labels of rows, in name order. Errors: BadInput for more than `most` where none was named."""
    labels: list[str] = data["label"].unique().sort().to_list()
    if label is None and len(labels) > most:
        raise BadInput(
            what=f"There are {len(labels)} labels, of which a page holds {most}.",
            remedy=f"Name some with label= (--label on the command line), such as {', '.join(labels[:3])}.",
        )
    return labels


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many items, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(number * (len(items) - 1) / (most - 1))] for number in range(most)]


def check_labels(session: Session, dataset: str, labels: Strings) -> None:
    """Raise BadInput for a label that the dataset does not have, suggesting names, or that eval does not judge."""
    known = dict(run(session, PACKAGE, "known_labels", dataset=dataset).iter_rows())
    for label in listed(labels) or []:
        if label not in known:
            raise unknown("label", label, known, f" of {dataset}")
        if not known[label]:
            raise BadInput(
                what=f"Label {label} of {dataset} is not evaluated.",
                remedy="Choose one for which column evaluated of table labels is true.",
            )


def drawn(
    source: Source,
    figure: str,
    columns: Sequence[str],
    *,
    tables: str,
    query: str | None = None,
    dataset: str | None = None,
    model: str | None = None,
    layer: Numbers = None,
    concept_set: Strings = None,
    label: Strings = None,
    one_set: bool = False,
    **parameters: Any,
) -> tuple[pl.DataFrame, About]:
    """What a figure of metric tables draws: the rows of `query` for one dataset and model, and what its title says.

    `query` is the name of the `.sql` file, by default that of the figure. `tables` are the metric tables that must be there, of
    which the first has what is drawn. `one_set`: the rows are of one concept set, PREFERRED where none is named. A frame is
    narrowed to the options that are columns of it. Errors: BadInput where nothing is left, and those of `pick` and `frame`.
    """
    given = {"layers": listed(layer), "concept_sets": listed(concept_set), "labels": listed(label), **parameters}
    if is_frame(source):
        data = frame(source, PACKAGE, figure, columns, {"dataset": dataset, "model": model, **given})
        return some(_of_one_set(data) if one_set else data, figure), about_frame(data)
    session = session_of(source)
    table, *others = tables.split()
    keys = pick(session, table, dataset=dataset, model=model)
    for other in others:
        pick(session, other, **keys)
    _check_layers_and_sets(session, table, keys, given)
    check_labels(session, keys["dataset"], label)
    _check_words(given)
    if one_set:
        given["concept_sets"] = [
            pick(session, table, **keys, concept_set=(given["concept_sets"] or [None])[0])["concept_set"]
        ]
    data = frame(session, PACKAGE, query or figure, columns, {**keys, **given})
    about = run(session, PACKAGE, "about", **keys).row(0, named=True)
    return some(data, figure), About(**about)


def _check_layers_and_sets(session: Session, table: str, keys: dict[str, Any], given: dict[str, Any]) -> None:
    state = session.warehouse.state()
    check_known(state, table, **keys, concept_set=given["concept_sets"])
    # A table without a layer in its path has the layers of the detectors it was made from.
    check_known(state, "selection", **keys, layer=given["layers"])


def _check_words(given: dict[str, Any]) -> None:
    """Raise BadInput, suggesting names, for a detector or a unit that there is none of, whatever the warehouse holds."""
    for name, known in (("detector", [one for one in DETECTORS if one != "prompt"]), ("unit", _MEASURED["unit"])):
        for one in [*(given.get(f"{name}s") or []), *(listed(given.get(name)) or [])]:
            if one not in known:
                raise unknown(name, one, known)


def _of_one_set(data: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    if "concept_set" not in data.columns or data["concept_set"].n_unique() < 2:
        return data
    known = sorted(data["concept_set"].unique().to_list())
    return data.filter(pl.col("concept_set") == next((one for one in PREFERRED if one in known), known[0]))


def some(data: pl.DataFrame, figure: str) -> pl.DataFrame:
    """The same rows. Errors: BadInput where there is none."""
    if data.is_empty():
        raise BadInput(
            what=f"There is no row to draw {figure} from.", remedy="Ask for other labels, layers or concept sets."
        )
    return data
