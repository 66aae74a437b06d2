"""`superact data build`: datasets in the published layout, from the public files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from superact.cli.options import DATA_ROOT, DataRoot, Quiet
from superact.cli.progress import note
from superact.errors import BadInput

app = typer.Typer(help="Make a dataset from its public sources.", no_args_is_help=True, rich_markup_mode=None)

Source = Annotated[Path, typer.Option("--source", metavar="FOLDER", help="The folder of downloaded files.")]
OutFolder = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FOLDER",
        help="The dataset folder, which appears whole or not at all; when not given, its own name below the data root.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(metavar="NUMBER", min=0, help="The same seed and files give the same dataset.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what another recipe, or other files, built there.")]
Link = Annotated[bool, typer.Option("--link", help="Link the images instead of copying them.")]
Rows = Annotated[
    Path | None,
    typer.Option(
        "--rows",
        metavar="FILE",
        help="A published metadata.csv: take exactly its images, in its order.",
        show_default=False,
    ),
]


@app.command()
def coco(
    source: Source,
    out: OutFolder = None,
    rows: Rows = None,
    cal: Annotated[
        int, typer.Option("--cal", metavar="NUMBER", min=1, help="Images of train2017 that are drawn without --rows.")
    ] = 500,
    link: Link = False,
    seed: Seed = 0,
    force: Force = False,
    data_root: DataRoot = DATA_ROOT,
    quiet: Quiet = False,
) -> None:
    """Coco from the official release.

    The folder has val2017/, train2017/ and annotations/instances_{val,train}2017.json (cocodataset.org). A subset whose
    masks are pictures of category numbers is taken too: images/ and masks/ with val2017/ and train2017/, and classes.json.
    """
    _build("coco", source, out or data_root / "Coco", quiet, rows=rows, n_cal=cal, link=link, seed=seed, force=force)


@app.command()
def goemotions(
    source: Source,
    out: OutFolder = None,
    seed: Seed = 0,
    force: Force = False,
    data_root: DataRoot = DATA_ROOT,
    quiet: Quiet = False,
) -> None:
    """GoEmotions: each comment of test.tsv between two neutral ones.

    The folder has test.tsv, labels.txt, and dev.tsv or train.tsv or both, whose neutral comments are the filler.
    """
    _build("goemotions", source, out or data_root / "GoEmotions", quiet, seed=seed, force=force)


@app.command()
def isarcasm(
    source: Source,
    out: OutFolder = None,
    negatives: Annotated[
        str,
        typer.Option(
            metavar="rephrase|tweets",
            help="What follows each sarcastic tweet: its author's rephrase, or a plain tweet.",
        ),
    ] = "rephrase",
    seed: Seed = 0,
    force: Force = False,
    data_root: DataRoot = DATA_ROOT,
    quiet: Quiet = False,
) -> None:
    """iSarcasm: sarcastic tweets and negatives in turn, between plain tweets.

    The folder has train.En.csv of iSarcasmEval, itself or in train/.
    """
    _build("isarcasm", source, out or data_root / "iSarcasm", quiet, negatives=negatives, seed=seed, force=force)


@app.command()
def broden(
    source: Source,
    out: OutFolder = None,
    part: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Which images: pascal, opensurfaces or another first folder; when not given, what the name of --out says.",
            show_default=False,
        ),
    ] = None,
    rows: Rows = None,
    link: Link = False,
    seed: Seed = 0,
    force: Force = False,
    data_root: DataRoot = DATA_ROOT,
    quiet: Quiet = False,
) -> None:
    """Broden-Pascal, Broden-OpenSurfaces or another part of a Broden release.

    The folder has index.csv, label.csv and images/ (broden1_224.zip).
    """
    from superact.datasets.builders.broden import PARTS

    named = next((name for name, folder in PARTS.items() if folder == part), f"Broden-{part}")
    if out is None and part is None:
        raise BadInput(what="Which part of Broden?", remedy="Name it with --part or with the folder that --out names.")
    options: dict[str, Any] = {"part": part, "rows": rows, "link": link, "seed": seed, "force": force}
    _build("broden", source, out or data_root / named, quiet, **options)


@app.command()
def sarcasm(
    source: Source,
    out: OutFolder = None,
    seed: Seed = 0,
    force: Force = False,
    data_root: DataRoot = DATA_ROOT,
    quiet: Quiet = False,
) -> None:
    """Sarcasm from a word file of your own; the paper's texts are not public.

    The folder has word_level_*.csv with the columns paragraph_id (from 1), word, optionally sentence_id, and 0/1 columns
    such as sarcasm; beside it optionally paragraphs/paragraph_000001.txt and so on, and paragraph_level_*.csv. Nothing is
    drawn, so that --seed has no effect.
    """
    _build("sarcasm", source, out or data_root / "Sarcasm", quiet, seed=seed, force=force)


@app.command()
def wnut17(
    source: Source,
    out: OutFolder = None,
    force: Force = False,
    data_root: DataRoot = DATA_ROOT,
    quiet: Quiet = False,
) -> None:
    """WNUT-17: sentences with the entities of the shared task, word by word.

    The folder has wnut17train.conll, emerging.dev.conll and emerging.test.annotated (github.com/leondz/emerging_entities_17):
    a line a word, word and BIO tag, and a blank line after each sentence. They become the splits train, cal and test.
    """
    _build("wnut17", source, out or data_root / "WNUT-17", quiet, force=force)


def _build(recipe: str, source: Path, out: Path, quiet: bool, **options: Any) -> None:
    from superact.cli.errors import extra_packages
    from superact.datasets.builders import build
    from superact.datasets.builders.site import display

    if not out.parent.is_dir():
        raise BadInput(what=f"--out {out}: there is no folder {out.parent}.", remedy="Make it first.")
    with extra_packages("superact data build"):
        done = build(recipe, source, out, progress=False if quiet else None, **options)
    for line in done.notes:
        note(line, quiet)
    note(
        f"{display(done.path)}: {done.rows:,} rows; {done.written:,} files written, {done.kept:,} were there already",
        quiet,
    )
