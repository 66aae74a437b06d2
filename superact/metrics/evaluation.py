"""One call of eval: its run, its connection, and the tables that are bound on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from superact.metrics.layer import DATASET_TABLES, MODEL_TABLES, Layer, Protocol
from superact.metrics.partition import BATCH_ROWS, bind, hold_query, hold_sql, pieces
from superact.metrics.plan import needed, published_by
from superact.store import Published, Run
from superact.store.files import VerifiedFiles
from superact.store.staging import StagedPartition


@dataclass
class Evaluation:
    """What the stages of one call share: the run, its connection, and what is bound on it."""

    run: Run
    protocol: Protocol
    verified: VerifiedFiles
    connection: duckdb.DuckDBPyConnection
    batch_rows: int = BATCH_ROWS
    say: Callable[[str], None] = lambda text: None
    _bound: tuple[object, ...] = ()
    _drawn: tuple[object, ...] = ()

    def paths(self, published: Published) -> list[Path]:
        """Files of a partition, each hashed (or known to be whole) before it is read. Errors: Damaged."""
        return whole_files(self.run.warehouse.root, published, self.verified)

    def bind(self, table: str, **keys: str | int) -> None:
        """Bind the published partition of a table. Errors: MissingTable, Damaged."""
        bind(self.connection, table, self.paths(needed(self.run, table, "superact ingest", **keys)))

    def bind_dataset(self, layer: Layer) -> None:
        """Bind the tables of a layer's dataset and, for tokens, those of its model, with the tokens that every query reads."""
        dataset, model = layer.keys["dataset"], layer.keys["model"]
        wanted = (dataset, model, layer.unit, layer.labels)
        if self._bound == wanted:
            return
        for table in DATASET_TABLES:
            self.bind(table, dataset=dataset)
        if layer.labels is not None:
            self._narrow_labels(layer.labels)
        if layer.unit == "token":
            for table in MODEL_TABLES:
                self.bind(table, dataset=dataset, model=model)
            for name in ("random_tokens", "calibration_tokens"):
                hold_sql(self.connection, name, name, seed=self.protocol.seed)
        self._bound = wanted

    def forget(self) -> None:
        """Bind the tables of a dataset anew when they are next needed: they were replaced on the connection."""
        self._bound = ()

    def _narrow_labels(self, labels: tuple[str, ...]) -> None:
        """Evaluate no other labels."""
        rows = self.connection.sql("FROM labels").to_arrow_table()
        evaluated = pa.array([row["evaluated"] and row["label"] in labels for row in rows.to_pylist()])
        position = rows.column_names.index("evaluated")
        hold_query(self.connection, "labels", rows.set_column(position, "evaluated", evaluated))

    def bind_floors(self, layer: Layer) -> None:
        """Hold localization_floors: one draw a token of the dataset and model, whatever the layer or set."""
        wanted = (layer.keys["dataset"], layer.keys["model"], layer.labels)
        if self._drawn == wanted:
            return
        hold_sql(self.connection, "token_draws", "token_draws", seed=self.protocol.seed)
        hold_sql(self.connection, "localization_floors", "localization_floors")
        self.connection.execute("DROP TABLE token_draws")
        self._drawn = wanted

    def bind_of(self, layer: Layer, *tables: str) -> None:
        """Bind derived tables of a layer: as this run staged them, or as another call of eval published them.

        Errors: MissingTable and StaleInput, naming the command that makes them.
        """
        for table in tables:
            part = layer.parts.get(table)
            if part is None:
                if table == "activations" and layer.source == "activations":
                    published = layer.sources["activations"]
                else:
                    published = published_by(self.run, layer, table)
                bind(self.connection, table, self.paths(published))
            elif part.current:
                self.bind(table, **layer.own(table))
            else:
                self.bind_staged(table, part)

    def bind_staged(self, table: str, part: StagedPartition) -> None:
        """Bind the files that this run has finished of a partition."""
        self.run.drain()
        files = [part.directory / part.done[shard].record.path for shard in sorted(part.done)]
        bind(self.connection, table, files)

    def write_held(self, layer: Layer, table: str) -> None:
        """Write a held table as the layer's partition of it, stamped, unless it is published already."""
        part = layer.parts[table]
        if not part.current:
            for shard, rows in enumerate(pieces(self.connection, table)):
                part.write(shard, [stamped(rows, layer.method, self.run.id)])


def whole_files(root: Path, published: Published, verified: VerifiedFiles) -> list[Path]:
    """Files of a partition of the warehouse at `root`, each hashed, or known to be whole. Errors: Damaged."""
    for file in published.files:
        verified.check(root / file.path, file.sha256, file.bytes)
    return [root / file.path for file in published.files]


def stamped(rows: pa.Table, method: str, run: str) -> pa.Table:
    """The rows with what every metric row carries: its method and its run."""
    zeros = pa.array([0] * len(rows), pa.int32())
    for name, value in (("method", method), ("run", run)):
        if name in rows.column_names:
            rows = rows.drop_columns(name)
        rows = rows.append_column(name, pa.DictionaryArray.from_arrays(zeros, pa.array([value])))
    return rows
