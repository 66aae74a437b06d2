"""`superact show`: exactly what a terminal or a pipe gets, without colours and with them, and the rows instead."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sample_worlds import image_world, text_world
from typer.testing import CliRunner, Result

from superact.cli.main import app
from superact.figures.colours import STEPS, colour_of, ink_on, step_of
from superact.figures.shown import COLUMNS, show
from superact.figures.terminal import Page, fitted, one_line
from superact.query import Session
from superact.store import Warehouse

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One warehouse with texts and images; tests only read it."""
    root = tmp_path_factory.mktemp("show")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(root / "cache"))
        patch.delenv("NO_COLOR", raising=False)
        patch.delenv("SUPERACT_WAREHOUSE", raising=False)
        text_world(root)
        image_world(root)
        yield root


def run(root: Path, *arguments: object, dataset: str = "notes") -> Result:
    return CliRunner().invoke(
        app,
        ["show", *map(str, arguments), "--warehouse", str(root / "wh"), "--dataset", dataset],
        catch_exceptions=False,
    )


def test_a_text_without_colours(root: Path) -> None:
    done = run(root, 2)
    assert done.stdout == (
        "Notes | Reader 1B | sample 2 (test)\n"
        "linsep: signed distance of each token\n"
        "\n"
        "praise, layer 2 (50 % through)\n"
        "a [good] [dog] barks at it\n"
        "  ~~~~~~\n"
        "\n"
        "[superactivator]  ~~~ ground truth\n"
        "\n"
        "label   layer  delta  score  threshold  detected  truth\n"
        "praise      2   0.02   4.50       4.00  yes       yes\n"
    )
    assert done.stderr == "dataset notes, model reader, concept set linsep, layer 2\n"
    assert done.exit_code == 0


def test_what_would_steer_the_terminal_is_shown_and_not_sent(root: Path) -> None:
    done = run(root, 5)
    assert '[<script>alert(1)</script>] \\x1b[31mred\\x1b]0;x\\x07 & "q"\n' in done.stdout
    assert "\x1b" not in done.stdout and "\x07" not in done.stdout
    colored = run(root, 5, "--color").stdout
    assert "\x1b" not in ESCAPES.sub("", colored) and "\x07" not in colored


def test_wide_characters_and_line_ends_keep_marks_below_their_words(root: Path) -> None:
    assert "日本 [good]\n     ~~~~~~\n" in run(root, 7).stdout
    assert "[good]\n~~~~~~\nnight\n" in run(root, 6).stdout


def test_a_text_is_set_in_the_width_asked_for(root: Path) -> None:
    lines = run(root, 2, "--width", 40).stdout.splitlines()
    assert "a [good] [dog] barks at it" in lines
    assert run(root, 2, "--width", 39).exit_code == 2
    shown = show(Session(Warehouse(root / "wh")), 2, dataset="notes")
    narrow = [line.plain for line in Page(15, False, True).lines(shown)]
    assert narrow[narrow.index("praise, layer 2") + 2 :][:4] == ["a [good] [dog]", "  ~~~~~~", "barks at it", ""]


def test_an_image_without_colours_is_shades_with_marks(root: Path) -> None:
    done = run(root, 4, dataset="toys")
    session = Session(Warehouse(root / "wh"))
    threshold = session.sql(
        "SELECT threshold FROM selection WHERE dataset = 'toys' AND label = 'spot' AND detector = 'superactivator'"
    )["threshold"][0]
    rows = session.sql(
        "SELECT token, cosine FROM activations WHERE dataset = 'toys' AND sample = 4 ORDER BY token"
    ).rows()
    limit = max(threshold, *(abs(score) for _, score in rows))
    grid = []
    for token, score in rows:
        fill = "█" if score > 0.75 * limit else "▓" if score > 0.5 * limit else "▒" if score > 0.25 * limit else "░"
        fill = fill if score > 0 else " "
        grid.append(("◆" if score >= np.float32(threshold) else fill) + ("·" if token in (5, 6) else fill))
    lines = done.stdout.splitlines()
    first = lines.index("┌────────┐") + 1
    assert lines[first : first + 4] == [f"│{''.join(grid[i : i + 4])}│" for i in (0, 4, 8, 12)]
    assert lines[first + 4] == "└────────┘" and "◆" in lines[first + 1]
    assert lines[first - 3 : first - 1] == ["spot", f"layer 2, colours to {limit:.2f}"]
    assert lines[first + 6 : first + 8] == [
        "scores: ' ░▒▓█' from 0 up; blank: 0 and below",
        "◆ superactivator  · ground truth",
    ]
    assert "\x1b" not in done.stdout


def test_colours_are_those_of_the_scores_and_the_text_stays_the_same(root: Path) -> None:
    shown = show(Session(Warehouse(root / "wh")), 2, dataset="notes")
    line = next(line for line in Page(80, True, True).lines(shown) if "barks" in line.plain)
    styles = {line.plain[span.start : span.end]: str(span.style) for span in line.spans}
    cold, hot = colour_of(step_of(-1.5, 4.5)), colour_of(STEPS)
    assert styles["barks"] == f"{ink_on(cold)} on {cold}"
    assert styles["[dog]"] == f"bold {ink_on(hot)} on {hot}"
    assert "underline" in styles["[good]"] and "underline" not in styles["[dog]"]
    colored = run(root, 2, "--color").stdout
    assert "\x1b[" in colored
    assert "a [good] [dog] barks at it\n" in ESCAPES.sub("", colored)


def test_patches_in_colours_are_as_wide_as_two_columns(root: Path) -> None:
    shown = show(Session(Warehouse(root / "wh")), 4, dataset="toys")
    lines = Page(80, True, True).lines(shown)
    start = next(i for i, line in enumerate(lines) if line.plain.startswith("layer 2"))
    patches = lines[start + 1 : start + 5]
    assert [len(line.plain) for line in patches] == [24] * 4
    one = shown.seen[0]
    for row, line in enumerate(patches):
        grounds = [str(span.style).rpartition(" on ")[2] for span in line.spans]
        scores = one.tokens.filter(pl.col("row") == row)["score"]
        assert grounds == [colour_of(step_of(score, one.limit)) for score in scores]


def test_labels_stand_beside_each_other_where_they_fit(root: Path) -> None:
    shown = show(Session(Warehouse(root / "wh")), 4, dataset="toys", label=["spot"])
    two = type(shown)(shown.at, 4, "test", True, None, shown.seen * 2, ())
    wide = [line.plain for line in Page(60, False, False).lines(two)]
    assert fitted("spot", 24) + "   " + fitted("spot", 24) in wide
    assert not any(line.count("spot") > 1 for line in (line.plain for line in Page(50, False, False).lines(two)))
    assert max(map(len, wide)) <= 60
    narrow = [line.plain for line in Page(9, False, False).lines(shown)]
    assert "+----+" in [line.rstrip() for line in narrow]


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}, {"TERM": "xterm-256color", "COLORTERM": "truecolor"}])
def test_a_pipe_gets_no_escape(root: Path, variables: dict[str, str]) -> None:
    done = process(root, "2", **variables)
    assert b"\x1b" not in done.stdout and b"[good]" in done.stdout


def process(root: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "superact.cli.main", "show", *arguments, "--warehouse", str(root / "wh")]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", **variables}
    return subprocess.run(
        [*command, "--dataset", "notes"], capture_output=True, env=environment, timeout=120, check=True
    )


def test_a_terminal_without_unicode_gets_ascii(root: Path) -> None:
    done = process(root, "7", PYTHONIOENCODING="ascii")
    assert b"\\u65e5\\u672c [good]\n" in done.stdout
    shown = show(Session(Warehouse(root / "wh")), 4, dataset="toys")
    assert all(line.plain.isascii() for line in Page(80, False, False).lines(shown))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_gets_colours_unless_no_color_is_set(root: Path) -> None:
    import pty

    for variables, colored in (
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, False),
    ):
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "superact.cli.main", "show", "2", "--warehouse", str(root / "wh"), "-q"]
        environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | variables
        done = subprocess.run([*command, "--dataset", "notes"], stdout=theirs, env=environment, timeout=120, check=True)
        os.close(theirs)
        text = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:
                break
            if not part:
                break
            text += part
        os.close(ours)
        assert done.returncode == 0 and (b"\x1b[" in text) is colored
        assert b"a [good] [dog] barks" in ESCAPES.sub("", text.decode()).encode()


@pytest.mark.parametrize("format", ["csv", "json"])
def test_the_token_rows_instead(root: Path, format: str) -> None:
    done = run(root, 2, "--format", format, "-q")
    session = Session(Warehouse(root / "wh"))
    wanted = session.sql(
        "SELECT token, text, score, in_concept FROM scores WHERE dataset = 'notes' AND sample = 2 ORDER BY token"
    ).to_dicts()
    found = json.loads(done.stdout) if format == "json" else pl.read_csv(done.stdout.encode()).to_dicts()
    assert list(found[0]) == list(COLUMNS)
    assert [{name: row[name] for name in wanted[0]} for row in found] == wanted
    assert [row["superactivator"] for row in found] == [False, True, True, False, False, False]
    assert {(row["label"], row["layer"], row["concept"], row["threshold"]) for row in found} == {
        ("praise", 2, "praise", 4.0)
    }
    assert done.stderr == ""


def test_a_file_gets_the_rows_or_the_text_by_its_suffix(root: Path, tmp_path: Path) -> None:
    run(root, 2, "--out", tmp_path / "rows.parquet")
    assert pl.read_parquet(tmp_path / "rows.parquet").columns == list(COLUMNS)
    run(root, 2, "--out", tmp_path / "text.txt")
    assert (tmp_path / "text.txt").read_text() == run(root, 2).stdout


def test_what_is_not_there_is_named(root: Path) -> None:
    for arguments, said in (
        ((9,), "There is no sample 9 of notes. Its samples are 0 to 7."),
        ((2, "--label", "x"), "There is no label 'x' of notes. The nearest: never, praise."),
        ((2, "--layer", 7), "There is no layer 7 of notes reader. The nearest: 2."),
        ((2, "--delta", 0.33), "There is no delta 0.33."),
        ((2, "--label", "never"), "never has a threshold at no layer of concept set linsep."),
    ):
        done = CliRunner().invoke(
            app, ["show", *map(str, arguments), "--warehouse", str(root / "wh"), "--dataset", "notes"]
        )
        assert done.exit_code == 3 and done.stdout == "" and said in done.stderr
    done = CliRunner().invoke(app, ["show", "2", "--warehouse", str(root / "wh")])
    assert done.exit_code == 3 and "There are several datasets: notes, toys." in done.stderr


def test_deltas_and_other_labels(root: Path) -> None:
    done = run(root, 2, "--delta", 0.5)
    assert "praise      2    0.5   4.50       4.00  yes       yes\n" in done.stdout
    assert "other labels" not in done.stderr


def test_names_of_data_stay_on_one_line() -> None:
    assert one_line("a\nb\tc\x1b") == "a\\nb\\tc\\x1b"
    assert fitted("a long name", 6) == "a lon~" and fitted("日本語", 5) == "日本~" and fitted("日本", 3) == "日~"
    assert fitted("ab", 4) == "ab  "


def test_no_package_for_pictures_or_models_is_needed(root: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('PIL', 'altair', 'vl_convert', 'torch', 'transformers'): sys.modules[name] = None\n"
        "from superact.cli.main import app\n"
        f"app(['show', '4', '--warehouse', {str(root / 'wh')!r}, '--dataset', 'toys', '-q'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "superactivator" in done.stdout, done.stderr
