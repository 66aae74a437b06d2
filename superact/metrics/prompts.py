"""`superact prompt eval`: the answers of prompted models as metric tables, in SQL, beside those of every other detector.

For every (dataset, answering model) with `prompt_answers`: `prompt_detection`, one row a label; `prompt_localization`, where
the model was asked where a label is; and its row of `summary`, resampled by the draws of every other row of the dataset. That
row is there only if the model was asked about every test sample: over fewer it would not compare with the rows beside it.
Fewer labels are no hindrance; n_labels says how many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from superact.cache import cache_path
from superact.errors import MissingTable, StaleInput
from superact.metrics.bootstrap import interval, weighted_f1
from superact.metrics.evaluate import WRITE_BUDGET, Protocol, rows_written
from superact.metrics.evaluation import Evaluation, stamped
from superact.metrics.layers import as_outcomes, n_test
from superact.metrics.partition import evaluation_connection, hold_sql, query
from superact.query.names import check_known
from superact.schemas import FORMAT, tables
from superact.store import Partition, Published, State, Warehouse
from superact.store.files import VerifiedFiles
from superact.store.identity import DERIVED_BY, Identity, hash_of
from superact.store.stale import input_hash

STEP_VERSION = 1
PROMPT: dict[str, str] = {"concept_set": "prompt", "unit": "sample"}
"""Where the rows of answering models stand in `summary`; model is the answering one."""
METHOD = "prompt"

_JUDGED = ("prompt_answers", "samples", "labels", "sample_labels")
_PLACED = ("prompt_answers", "prompt_tokens", "samples", "labels", "tokens", "token_labels")
_NAMED = 3
"""Labels that a note names."""

Keys = dict[str, Any]


def evaluate_prompts(
    warehouse: Warehouse,
    *,
    dataset: str | None = None,
    model: str | None = None,
    protocol: Protocol | None = None,
    replace: bool = False,
    threads: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, int]:
    """Evaluate the stored answers that match; of the protocol, seed and replicates are looked at. Returns the rows written.

    `say` is told of models that were not asked about every test sample. Errors: BadInput for names that are not there,
    MissingTable without answers, StaleInput where the samples or tokens changed since the model was asked, Damaged.
    """
    protocol = protocol or Protocol()
    with warehouse.run("eval", replace=replace, budget=WRITE_BUDGET) as run:
        run.provenance = {"duckdb_threads": threads}
        found = _wanted(warehouse, run.state, dataset, model)
        verified = VerifiedFiles(cache_path("verified.json"))
        with evaluation_connection(threads) as connection:
            evaluation = Evaluation(run, protocol, verified, connection, say=say)
            for number, answers in enumerate(found):
                keys = dict(answers.partition.keys)
                if progress:
                    progress(f"prompt eval {' '.join(map(str, keys.values()))}", number, len(found))
                _check_samples(run.state, answers)
                _judge(evaluation, keys)
                _localize(evaluation, keys)
        document = run.publish()
        verified.save()
    return rows_written(document)


def _wanted(warehouse: Warehouse, state: State, dataset: str | None, model: str | None) -> list[Published]:
    """The stored answers that match. Errors: BadInput, MissingTable."""
    check_known(state, "prompt_answers", dataset=dataset, model=model)
    found = state.select("prompt_answers", dataset=dataset, model=model)
    if not found:
        raise MissingTable(
            stage="prompt eval",
            table="prompt_answers",
            where=" ".join(filter(None, (dataset, model))) or "any dataset",
            warehouse=warehouse.root,
            command=f"superact prompt run {dataset or 'DATASET'} {model or 'MODEL'}",
        )
    return found


def _judge(evaluation: Evaluation, keys: Keys) -> None:
    """Fill prompt_detection and, where every test sample was asked about, the row of summary. Errors: MissingTable, Damaged."""
    run, connection = evaluation.run, evaluation.connection
    for table in ("samples", "labels", "sample_labels"):
        evaluation.bind(table, dataset=keys["dataset"])
    evaluation.bind("prompt_answers", **keys)
    hold_sql(connection, "prompt_detection", "prompt_detection")
    detection = connection.sql("FROM prompt_detection").to_arrow_table()
    identity = _identity(run.state, "prompt_detection", keys, _JUDGED)
    _write(evaluation, "prompt_detection", keys, identity, lambda: detection)
    summary = {**keys, **PROMPT}
    if missing := _not_asked(detection, n_test(connection)):
        evaluation.say(
            f"{keys['dataset']}: {keys['model']} was not asked about every test sample ({missing}): prompt_detection is over "
            "those asked, and neither summary nor compare has a row; `superact prompt run` asks about the rest"
        )
        _remove(evaluation, Partition.of("summary", **summary))
        return
    drawn = {"seed": evaluation.protocol.seed, "replicates": evaluation.protocol.replicates}
    judged = {"input:prompt_detection": hash_of(identity)}
    identity = _identity(run.state, "summary", keys, _JUDGED) | drawn | judged
    _write(evaluation, "summary", summary, identity, lambda: _summary(evaluation))


def _not_asked(detection: pa.Table, tested: int) -> str:
    """What to say of labels that were asked about fewer than all test samples; empty where there is none."""
    rows = [row for row in detection.to_pylist() if row["n_questions"] < tested]
    if not len(detection) or not tested:
        return "about none" if tested else "there are none"
    named = ", ".join(f"{row['label']}: {row['n_questions']} of {tested}" for row in rows[:_NAMED])
    return named + (f", and {len(rows) - _NAMED} labels more" if len(rows) > _NAMED else "")


def _summary(evaluation: Evaluation) -> pa.Table:
    """The row of summary, with its interval; prompt_answers, prompt_detection and the tables of the dataset are bound."""
    connection, protocol = evaluation.connection, evaluation.protocol
    rows = query(connection, "prompt_summary")
    outcomes = {METHOD: as_outcomes(query(connection, "prompt_outcomes"))}
    values = weighted_f1(n_test(connection), protocol.seed, outcomes, protocol.replicates)
    bounds = interval(values[METHOD]) if METHOD in values else (None, None)
    for name, bound in zip(("ci_low", "ci_high"), bounds, strict=True):
        rows = rows.append_column(name, pa.array([bound], pa.float64()))
    return rows


def _localize(evaluation: Evaluation, keys: Keys) -> None:
    """Fill prompt_localization for every model whose tokens the places were mapped to; the tables of the dataset are bound.

    Errors: MissingTable, StaleInput, Damaged.
    """
    state = evaluation.run.state
    found = {places.partition.keys: places for places in state.select("prompt_tokens", **keys)}
    for places in found.values():
        own = dict(places.partition.keys)
        grid = {"dataset": own["dataset"], "model": own["tokens_of"]}
        for table in ("tokens", "token_labels"):
            evaluation.bind(table, **grid)
        evaluation.bind("prompt_tokens", **own)
        _check_places(state, places, grid)
        identity = _identity(state, "prompt_localization", own, _PLACED)
        _write(
            evaluation,
            "prompt_localization",
            own,
            identity,
            lambda: query(evaluation.connection, "prompt_localization"),
        )
    for published in state.select("prompt_localization", **keys):
        if published.partition.keys not in found:
            _remove(evaluation, published.partition)


def _identity(state: State, table: str, keys: Keys, inputs: tuple[str, ...]) -> Identity:
    """What one of the tables is made from; `keys` are those of its path, or of the answers."""
    identity: Identity = {"step": DERIVED_BY, "step_version": STEP_VERSION, "schema_version": FORMAT, "table": table}
    for name in inputs:
        identity[f"input:{name}"] = input_hash(state.partitions[_partition(name, keys)])
    return identity


def _partition(table: str, keys: Keys) -> Partition:
    """The partition of an input: tokens and their labels are those of the model that they were mapped to."""
    own = {**keys, "model": keys["tokens_of"]} if table in ("tokens", "token_labels") else keys
    return Partition.of(table, **{name: own[name] for name in tables()[table].path})


def _write(evaluation: Evaluation, table: str, keys: Keys, identity: Identity, rows: Callable[[], pa.Table]) -> None:
    """Write a partition, stamped, unless it is published already with this identity."""
    part = evaluation.run.partition(table, identity, **keys)
    if not part.current:
        part.write(0, [stamped(rows(), METHOD, evaluation.run.id)])


def _remove(evaluation: Evaluation, partition: Partition) -> None:
    if partition in evaluation.run.state.partitions:
        evaluation.run.removed.append(partition)


def _check_samples(state: State, answers: Published) -> None:
    """Raise StaleInput where answers say that they are about other samples than those published now."""
    keys = dict(answers.partition.keys)
    samples = state.get("samples", dataset=keys["dataset"])
    if samples is None:
        return  # binding it says what is missing
    then, now = answers.identity, {**samples.identity, "input:samples": samples.hash}
    named = ("sources", "splits", "input:samples")
    differing = [name for name in named if name in then and name in now and then[name] != now[name]]
    _raise_stale(answers, differing)


def _check_places(state: State, places: Published, grid: Keys) -> None:
    """Raise StaleInput where places say that they are of other answers, or in other tokens, than those published now."""
    keys = dict(places.partition.keys)
    answers = {"dataset": keys["dataset"], "model": keys["model"]}
    differing = []
    for table, own in (("prompt_answers", answers), ("tokens", grid)):
        source = state.get(table, **own)
        if source is not None and places.identity.get(f"input:{table}", source.hash) != source.hash:
            differing.append(table)
    _raise_stale(places, differing)


def _raise_stale(found: Published, differing: list[str]) -> None:
    if differing:
        keys = dict(found.partition.keys)
        # Places are mapped anew from the replies; answers must be asked for again.
        again = f"--localize --tokens-of {keys['tokens_of']}" if "tokens_of" in keys else "--replace"
        raise StaleInput(
            partition=str(found.partition),
            differences=", ".join(differing),
            command=f"superact prompt run {keys['dataset']} {keys['model']} {again}",
        )
