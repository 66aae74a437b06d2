"""From a warehouse to a folder of pages: read, plan what fits, write."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files as resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superact.errors import BadInput
from superact.figures.extra import require
from superact.figures.report import pages
from superact.figures.report.catalogue import Chosen, catalogue
from superact.figures.report.charts import chart, density_templates
from superact.figures.report.choose import MOST, choose, lacking
from superact.figures.report.details import places_of, samples_file, shown_of
from superact.figures.report.files import KIND, MARKER, Site, check_target, payload
from superact.figures.report.plan import THUMBNAIL, Need, Piece, fit, numbers, pieces
from superact.figures.report.scope import Dataset, Model, Scope, read, read_scope
from superact.figures.report.scores import Scores
from superact.figures.report.thumbnails import write_thumbnails
from superact.store.files import human
from superact.store.outward import whole_folder

if TYPE_CHECKING:
    from superact.query import Session
    from superact.store import State

Progress = Callable[[str, int, int], None]
MAX_MB = 25.0
FORMAT = 1
"""Of the data files, raised when a page of an older report could no longer be told from one of this."""
_SHARE = 0.9
"""Of the budget that samples are chosen for: thumbnails are guessed then."""
_RESERVE = 40_000
_CHARTS = {
    "comparison": ("f1_bars",),
    "layers": ("detection_heatmap", "layer_histogram"),
}
"""The figures of a page, each of one dataset and model."""


@dataclass(frozen=True)
class Built:
    """What was written. `notes`: what is not in the report, one line each, as its overview has them."""

    folder: Path
    files: int
    bytes: int
    notes: tuple[str, ...]


@dataclass
class Report:
    """A report while it is built."""

    session: Session
    state: State
    scope: Scope
    site: Site
    wanted: dict[str, Any]
    progress: Progress
    notes: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        """Say once what is left out."""
        if line not in self.notes:
            self.notes.append(line)


def build_report(
    session: Session,
    out: Path | str,
    *,
    dataset: str | None = None,
    model: str | None = None,
    data_root: Path | str = "Data",
    samples: int | None = None,
    max_mb: float = MAX_MB,
    images: bool = True,
    title: str | None = None,
    replace: bool = False,
    progress: Progress | None = None,
) -> Built:
    """Write the report of a warehouse, or of one dataset or model of it, as the folder `out`.

    `samples`: test samples of each dataset that are shown (None: as many as fit, at most 200); `max_mb`: megabytes (10^6)
    that the folder may come to. The folder appears complete or not at all; two of one warehouse have the same bytes.
    Errors: BadInput for a folder that may not be written, names that are not there, a budget that is too small, or a warehouse
    that changed meanwhile; MissingTable where nothing was evaluated; Damaged, NotEnoughDisk.
    """
    target = check_target(out, replace)
    require("altair")
    if not 0 < max_mb < 1e5 or (samples is not None and samples < 1):
        raise BadInput(what="A report needs at least one sample and some megabytes.", remedy="Give larger numbers.")
    # In this order the session reads this state or a newer one, which shows at the end.
    state = session.warehouse.state()
    session.refresh()
    scope = read_scope(session, state, dataset, model)
    with whole_folder(target, replace) as part:
        site = Site(part, int(max_mb * 1_000_000))
        wanted = {"dataset": dataset, "model": model}
        report = Report(session, state, scope, site, wanted, progress or (lambda *_: None))
        _write(report, samples, images, data_root, title or f"superact report: {session.warehouse.root.name}")
        if session.warehouse.state().sequence != state.sequence:
            raise BadInput(what="The warehouse changed while it was read.", remedy="Make the report again.")
        if site.left < 0:
            raise _too_small(site, site.used)
    return Built(target, site.files, site.used, tuple(report.notes))


def _write(report: Report, samples: int | None, images: bool, data_root: Path | str, title: str) -> None:
    write_pages(report.site)
    _write_tables(report)
    chosen = _write_samples(report, samples, images, data_root)
    found = [
        item
        for one in chosen
        for model in one.dataset.models
        for item in pieces(one.dataset, model, shown_of(report.state, one.dataset, model, one.places[model.name]))
    ]
    everything = payload("catalogue", catalogue(chosen, [piece for _, piece in found]))
    report.notes += pages_notes(report)
    rest = _overview(report, title)
    reserved = len(everything) + len(payload("overview", rest)) + _RESERVE
    if reserved > report.site.left:
        raise _too_small(report.site, report.site.used + reserved)
    kept, left = fit(found, report.site.left - reserved)
    _note_left(report, left)
    scores = Scores(report.session, report.state)
    for number, piece in enumerate(kept):
        report.progress("reading scores", number, len(kept))
        places = next(one for one in chosen if one.dataset is piece.dataset).places[piece.model.name]
        size = report.site.data(piece.name, scores.file(piece, places))
        if size > piece.size:
            raise RuntimeError(f"{piece.name} has {size} bytes, {piece.size} were planned")
    report.site.data("catalogue", catalogue(chosen, kept))
    report.site.data("overview", _overview(report, title))
    marker = {"kind": KIND, "format": FORMAT, "sequence": report.state.sequence, "title": title}
    report.site.write(MARKER, (json.dumps(marker, sort_keys=True) + "\n").encode())


def write_pages(site: Site) -> None:
    """Write what every report has: the page, its style, its scripts, and the library of charts."""
    own = resources("superact.figures.report").joinpath("site")
    for file in sorted(own.iterdir(), key=lambda file: file.name):
        folder = "js/" if file.name.endswith(".js") else ""
        site.write(folder + file.name, file.read_bytes())
    site.write("vendor/vega.js", _library())


@cache
def _library() -> bytes:
    """Vega, Vega-Lite and vega-embed as one script: they come as a module, whose names are its own, as a function's are."""
    bundle: str = require("vl_convert").javascript_bundle()
    return ('(function () {\n"use strict";\n' + bundle + "\n})();\n").encode()


def _write_tables(report: Report) -> None:
    """The data of comparison, layers and distributions, and the counts of every delta."""
    session, site, scope = report.session, report.site, report.scope
    site.data("comparison", pages.comparisons(session, report.wanted["dataset"], report.wanted["model"]))
    site.data("identities", pages.identities(report.state, report.wanted))
    for measure in sorted({one.measure for own in scope.datasets for model in own.models for one in model.sets}):
        site.data(f"charts/density/{measure}", density_templates(measure))
    for dataset in scope.datasets:
        for model in dataset.models:
            at = f"{dataset.name}/{model.name}"
            report.progress(f"tables of {dataset.title}", 0, 1)
            site.data(f"layers/{at}", pages.layers_page(session, dataset, model))
            for name in (name for page in _CHARTS.values() for name in page):
                site.data(f"charts/{name}/{at}", chart(session, name, dataset=dataset.name, model=model.name))
            for one in model.sets:
                by_layer = chart(session, "f1_by_layer", dataset=dataset.name, model=model.name, concept_set=one.name)
                site.data(f"charts/f1_by_layer/{at}/{one.name}", by_layer)
                site.data(f"distributions/{at}/{one.name}", pages.distributions_page(session, dataset, model, one.name))
                for layer, counts in pages.counts_page(session, dataset, model, one.name):
                    site.data(f"counts/{at}/{one.name}/{layer}", counts)


def _write_samples(report: Report, samples: int | None, images: bool, data_root: Path | str) -> list[Chosen]:
    """Choose the samples of every dataset and write what does not depend on a concept: texts, labels, tokens, pictures."""
    budget = report.site.left * _SHARE
    needs = [_need(report, dataset, images) for dataset in report.scope.datasets]
    wanted = numbers(needs, budget, samples or MOST, exact=samples is not None)
    found = []
    for dataset, n in zip(report.scope.datasets, wanted, strict=True):
        rows = read(report.session, "test_samples", dataset=dataset.name)
        carried = dict(rows.select("sample", "labels").iter_rows())
        own = choose(list(carried), list(carried.values()), dataset.labels, n)
        one = Chosen(dataset, own)
        report.site.data(f"samples/{dataset.name}", samples_file(report.session, dataset, own, carried))
        for model in dataset.models:
            report.progress(f"samples of {dataset.title}", 0, 1)
            one.places[model.name] = places_of(report.session, dataset, model, own)
            report.site.data(f"places/{dataset.name}/{model.name}", one.places[model.name].file)
            one.images[model.name] = _pictures(report, one, model, images, data_root)
        _note_samples(report, dataset, own, carried)
        found.append(one)
    if report.site.left < 0:
        raise _too_small(report.site, report.site.used)
    return found


def _need(report: Report, dataset: Dataset, images: bool) -> Need:
    """What one more sample of a dataset takes, by the averages of its tables."""
    always = 60.0
    scores = 0.0
    if dataset.modality == "image":
        always += THUMBNAIL if images else 0
    else:
        rows = read(report.session, "test_samples", dataset=dataset.name)
        always += 1.1 * float(rows["characters"].mean() or 0)  # type: ignore[arg-type]
    total = sum(int(dataset.facts[split]) for split in ("train", "cal", "test"))
    for model in dataset.models:
        published = report.state.get("tokens", dataset=dataset.name, model=model.name)
        tokens = 0.0 if published is None else published.rows / max(1, total)
        always += 10 * tokens if dataset.modality == "text" else 0.3 * tokens + 8 * len(dataset.labels)
        best = sum(bool(one.ranked_layers(label)) for one in model.sets for label in range(len(dataset.labels)))
        scores += best * (16 / 3) * (tokens + 5)
    return Need(dataset.n_test, always, scores)


def _pictures(report: Report, one: Chosen, model: Model, images: bool, data_root: Path | str) -> str | None:
    if one.dataset.modality != "image":
        return None
    if not images:
        report.note("No pictures: --no-images was given.")
        return None
    folder, why = write_thumbnails(report.session, report.site, one.dataset.name, model.name, one.samples, data_root)
    if why is not None:
        report.note(f"No pictures of {one.dataset.title}: {why}")
    return folder


def _note_samples(report: Report, dataset: Dataset, samples: Sequence[int], carried: dict[int, list[str]]) -> None:
    if len(samples) == dataset.n_test:
        return
    report.note(
        f"{len(samples)} of {dataset.n_test} test samples of {dataset.title} are shown, drawn with a fixed seed so that every "
        "label keeps some; counts and averages are of all of them."
    )
    missing = lacking([carried[sample] for sample in samples], dataset.labels, dataset.positives)
    if missing:
        report.note(f"No shown sample of {dataset.title} carries {', '.join(missing)}.")


def _note_left(report: Report, left: Sequence[Piece]) -> None:
    for tokens, what in ((False, "sample scores"), (True, "token scores")):
        own = [piece for piece in left if piece.tokens is tokens]
        if own:
            size = human(sum(piece.size for piece in own))
            report.note(
                f"The {what} of {len(own)} (concept set, layer, label) combinations are left out, {size}: they do not fit into "
                f"{human(report.site.budget)}, or take too long to read. Their counts are there."
            )


def pages_notes(report: Report) -> list[str]:
    """What the tables of the warehouse lack that a page would show."""
    found = []
    for table, what, command in (
        ("distributions", "distributions", "superact eval distributions"),
        ("layer_selection", "best layers", "superact eval layers"),
    ):
        for dataset in report.scope.datasets:
            for model in dataset.models:
                if not report.state.select(table, dataset=dataset.name, model=model.name):
                    found.append(f"No {what} of {dataset.title} | {model.title}: run `{command}`.")
    return found


def _overview(report: Report, title: str) -> dict[str, Any]:
    from superact import __version__

    found = pages.overview(report.session, report.state, report.scope, report.wanted)
    return {"title": title, "version": __version__, "notes": report.notes, **found}


def _too_small(site: Site, needed: int) -> BadInput:
    return BadInput(
        what=f"The report does not fit into {human(site.budget)}: what it cannot do without takes {human(needed)}.",
        remedy="Give a larger --max-mb, fewer --samples, or one --dataset or --model.",
    )
