"""What the store costs: bytes a row, rows a second, and how fast one concept is found.

    python benchmarks/bench_store.py [--rows 10000000] [--files 1000]

Prints one table. Compare ratios between runs on one machine, never seconds between machines.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tabulate import tabulate

import superact
from superact.query.session import connect, view_sql
from superact.schemas import tables
from superact.store import Warehouse
from superact.store.parquet import write_file
from superact.store.rows import activation_rows
from superact.store.shards import shard_tokens

KEYS = {"dataset": "bench", "model": "bench", "concept_set": "avg", "unit": "token"}
TOKENS_A_SAMPLE = 256


def scores(rng: np.random.Generator, concepts: int, tokens: int, width: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and signed distance float32 [concepts, tokens] of rows and vectors that are correlated as real ones are."""
    rows = rng.normal(size=(tokens, width)).astype(np.float32) + rng.normal(size=width).astype(np.float32)
    vectors = rng.normal(size=(concepts, width)).astype(np.float32)
    dots = vectors @ rows.T
    distance = dots / np.linalg.norm(vectors, axis=1)[:, None]
    return distance / np.linalg.norm(rows, axis=1)[None, :], distance


def block(rng: np.random.Generator, concepts: int, tokens: int, first: int = 0) -> list[pa.Table]:
    number = np.arange(first, first + tokens)
    sample, token = (number // TOKENS_A_SAMPLE).astype(np.int32), (number % TOKENS_A_SAMPLE).astype(np.int32)
    names = [f"concept-{i:03d}" for i in range(concepts)]
    return activation_rows(names, sample, token, *scores(rng, concepts, tokens))


def median_seconds(call: Callable[[], object], n: int) -> float:
    times = []
    for _ in range(n):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def writing(place: Path, rng: np.random.Generator, rows: int, concepts: int) -> list[list[object]]:
    """Bytes a row and rows a second of one writer thread, beside pyarrow's defaults over the same rows."""
    groups = block(rng, concepts, rows // concepts)
    table, total = tables()["activations"], sum(group.num_rows for group in groups)
    whole = pa.concat_tables(groups)
    ours, theirs = [], []
    for number in range(3):
        start = time.perf_counter()
        record = write_file(place / "ours.parquet", table, groups)
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        pq.write_table(whole, place / "defaults.parquet")
        theirs.append(time.perf_counter() - start)
        assert record.rows == total, number
    size = (place / "defaults.parquet").stat().st_size
    first, second = min(ours), min(theirs)
    return [
        ["bytes a row", f"{record.bytes / total:.2f}", "7.5", f"pyarrow's defaults: {size / total:.2f}"],
        [
            "million rows a second",
            f"{total / first / 1e6:.1f}",
            "20",
            f"pyarrow's defaults: {total / second / 1e6:.1f}",
        ],
    ]


def publish(root: Path, rng: np.random.Generator, layers: int, files: int, concepts: int, tokens: int) -> None:
    with Warehouse(root).run("bench") as run:
        groups = block(rng, concepts, tokens)
        for layer in range(layers):
            part = run.partition("activations", {"made": "up"}, layer=layer, **KEYS)
            for shard in range(files):
                part.write(shard, groups)
        run.publish()


QUERY = "SELECT count(*) AS n, max(signed_distance) AS m FROM activations WHERE concept = 'concept-007'"


def through_session(root: Path, where: str, n: int = 15) -> float:
    """Median seconds of a query through the guarded session, which checks every listed path each time it is bound."""
    session = superact.open(root)
    seconds = median_seconds(lambda: session.sql(f"{QUERY} {where}"), n)
    session.connection.close()
    return seconds


def through_view(root: Path, where: str, n: int = 15) -> float:
    """The same query on a plain connection with the session's view."""
    with connect() as connection:
        select = view_sql(root, tables()["activations"], Warehouse(root).state().select("activations"))
        connection.execute(f"CREATE VIEW activations AS {select}")
        return median_seconds(lambda: connection.execute(f"{QUERY} {where}").fetchall(), n)


def reading(place: Path, rng: np.random.Generator, options: argparse.Namespace) -> list[list[object]]:
    """One concept of a partition, and of one layer and of all layers through a view over many files."""
    tokens = options.rows // options.concepts
    publish(place / "one", rng, 2, -(-tokens // shard_tokens(options.concepts)), options.concepts, tokens)
    table: list[list[object]] = []
    seconds = through_session(place / "one", "AND layer = 1")
    table.append(["one concept of a partition, ms", f"{seconds * 1e3:.1f}", "10", f"{options.rows:,} rows"])
    shutil.rmtree(place / "one")
    publish(place / "many", rng, options.files // 10, 10, 20, 1000)
    for where, what, target in (("AND layer = 3", "one layer of it", "25"), ("", "all layers", "")):
        view, session = through_view(place / "many", where), through_session(place / "many", where)
        note = f"through the guarded session: {session * 1e3:.1f}"
        table.append([f"one concept, view over {options.files} files, {what}, ms", f"{view * 1e3:.1f}", target, note])
    seconds = median_seconds(lambda: superact.open(place / "many").connection.close(), 5)
    table.append(["opening that warehouse, ms", f"{seconds * 1e3:.1f}", "", ""])
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--concepts", type=int, default=80)
    options = parser.parse_args()
    place, rng = Path(tempfile.mkdtemp(prefix="bench-store-")), np.random.default_rng(0)
    try:
        table = writing(place, rng, options.rows, options.concepts)
        table += reading(place, rng, options)
        print(tabulate(table, ["measure", "here", "target", "beside it"], disable_numparse=True))
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
