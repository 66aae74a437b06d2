"""`superact data check` and `superact data describe`: is a dataset right, and what are its floors."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from superact.cli.options import DATA_ROOT, DataRoot, Out, OutputFormat, Quiet
from superact.cli.progress import note
from superact.cli.reading import EvaluatedLabels, ImageRoot, TextRoot
from superact.errors import BadInput

Name = Annotated[str, typer.Argument(metavar="DATASET", help="The name, slug or path of a dataset folder.")]


def check(
    dataset: Name,
    image_root: ImageRoot = None,
    text_root: TextRoot = None,
    data_root: DataRoot = DATA_ROOT,
    format: OutputFormat = None,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Check a dataset: its files, rows, splits, labels, words and masks.

    Lists all that is missing or wrong, and where to get it, and exits with 3 if there is anything. Rows, splits and
    positives are compared with the published ones where the folder has the name of a published dataset.
    """
    from superact.cli.errors import extra_packages
    from superact.cli.output import print_records
    from superact.datasets.check import WRONG
    from superact.datasets.check import check as run_check

    with extra_packages("superact data check"):
        found = run_check(dataset, data_root, image_root, text_root, progress=False if quiet else None)
    columns = dict.fromkeys(("check", "result", "detail"), "VARCHAR")
    print_records([finding.__dict__ for finding in found], columns, format, out)
    counts = Counter(finding.result for finding in found)
    listed = ", ".join(f"{counts[result]} {result}" for result in ("missing", "wrong", "warning") if counts[result])
    note(f"{dataset}: {listed or 'all is well'}", quiet)
    if any(counts[result] for result in WRONG):
        raise typer.Exit(BadInput.exit_code)


def describe(
    dataset: Name,
    labels: EvaluatedLabels = "published",
    data_root: DataRoot = DATA_ROOT,
    format: OutputFormat = None,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Positives of every label in every split, and the floors, from metadata.csv.

    always_f1 is the F1 on test of detecting every sample, coin_f1 that of a coin that fires with the label's share of the
    cal samples (cal_share). The last row has the average over labels, weighted by test positives. Images and texts need
    not be there.
    """
    from superact.cli.output import print_records
    from superact.datasets.describe import describe as run_describe

    found = run_describe(dataset, data_root, labels)
    counts = dict.fromkeys(("train", "cal", "test"), "BIGINT")
    floors = dict.fromkeys(("cal_share", "always_f1", "coin_f1"), "DOUBLE")
    columns = {**dict.fromkeys(("what", "label"), "VARCHAR"), **counts, **floors}
    print_records(found.records(), columns, format, out)
    n, kept = len(found.labels), len(found.evaluated)
    dropped = "" if n == kept else f", {kept} of {n} labels (--labels all for the others)"
    note(f"{found.name}: {sum(found.sizes):,} {found.modality}s{dropped}", quiet)
