"""How a build treats its folder: whole or not at all, idempotent, resumed, never over another's files; and its commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from build_sources import ROOT, coco_release, tree
from typer.testing import CliRunner

from superact.cli.main import app
from superact.datasets import builders
from superact.datasets.builders import build
from superact.datasets.builders.site import Site
from superact.errors import BadInput

SOURCE = ROOT / "Data" / "Sarcasm-Mini"


def word_file(root: Path, word: str = "fine") -> Path:
    root.mkdir(exist_ok=True)
    (root / "word_level_sarcasm.csv").write_text(f"paragraph_id,word,sarcasm\n1,oh,1\n2,{word},0\n")
    return root


def test_building_again_writes_only_what_is_missing(tmp_path: Path) -> None:
    source, out = word_file(tmp_path / "in"), tmp_path / "Sarcasm"
    first = build("sarcasm", source, out)
    before = tree(out)
    (out / "paragraphs" / "paragraph_000002.txt").unlink()
    again = build("sarcasm", source, out)
    assert (first.written, first.kept, again.written, again.kept) == (5, 0, 1, 4)
    assert tree(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Sarcasm", "in"]


def test_an_interrupted_build_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = coco_release(tmp_path / "in"), tmp_path / "Coco"
    whole = Site.place

    def stop_at_the_fourth(self: Site, name: str, path: Path, link: bool) -> None:
        if self.written == 3:
            raise KeyboardInterrupt
        whole(self, name, path, link)

    monkeypatch.setattr(Site, "place", stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        build("coco", source, out, n_cal=3)
    assert not out.exists()
    monkeypatch.undo()
    done = build("coco", source, out, n_cal=3)
    assert (done.written, done.kept) == (9, 3)
    assert build("coco", source, tmp_path / "Other", n_cal=3).written == 12
    assert tree(out) == tree(tmp_path / "Other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Coco", "Other", "in"]


def test_another_recipe_needs_force_and_keeps_foreign_files(tmp_path: Path) -> None:
    out = tmp_path / "Sarcasm"
    build("sarcasm", word_file(tmp_path / "in"), out)
    (out / "LICENSE").write_text("mine")
    before = tree(out)
    word_file(tmp_path / "in", "good")
    with pytest.raises(
        BadInput, match=r"from other files: sources word_level_sarcasm.csv \w{12}\.\.\., not \w{12}\.\.\.\."
    ):
        build("sarcasm", tmp_path / "in", out)
    assert tree(out) == before
    build("sarcasm", tmp_path / "in", out, force=True)
    assert (out / "paragraphs" / "paragraph_000002.txt").read_text() == "good"
    assert (out / "LICENSE").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Sarcasm", "in"]


@pytest.mark.parametrize("force", [False, True])
def test_what_no_build_made_is_never_replaced(tmp_path: Path, force: bool) -> None:
    source = word_file(tmp_path / "in")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("notes")
    (tmp_path / "file").write_text("file")
    with pytest.raises(BadInput, match="is not empty and no build made it"):
        build("sarcasm", source, tmp_path / "mine", force=force)
    with pytest.raises(BadInput, match="is a file"):
        build("sarcasm", source, tmp_path / "file", force=force)
    assert tree(tmp_path / "mine") == {"notes.txt": b"notes"}


def test_no_source_and_no_recipe(tmp_path: Path) -> None:
    for recipe in builders.RECIPES:
        with pytest.raises(BadInput, match="There is no folder"):
            build(recipe, tmp_path / "nowhere", tmp_path / "Broden-Pascal")
    with pytest.raises(BadInput, match="There is no recipe 'wnut'"):
        build("wnut", tmp_path, tmp_path / "out")


def test_the_command(tmp_path: Path) -> None:
    arguments = ["data", "build", "sarcasm", "--source", str(SOURCE), "--data-root", str(tmp_path)]
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.endswith("Sarcasm: 336 rows; 339 files written, 0 were there already\n")
    assert CliRunner().invoke(app, [*arguments, "--quiet"]).output == ""
    done = CliRunner().invoke(app, [*arguments[:4], str(tmp_path / "nowhere"), "--out", str(tmp_path / "x")])
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr.startswith("error: There is no folder ")
