"""Saving a figure, without a browser or network: png, svg, pdf, or one html file that opens anywhere."""

from __future__ import annotations

import io
import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from superact.errors import BadInput
from superact.figures.extra import require
from superact.store.outward import whole_file

if TYPE_CHECKING:
    import altair as alt

FORMATS = ("png", "svg", "pdf", "html")
_ACTIONS = {"export": True, "source": False, "compiled": False, "editor": False}


@runtime_checkable
class TextFigure(Protocol):
    """A figure that is text rather than a chart: it writes its own page and its own SVG."""

    def html(self) -> str:
        """A complete page."""
        ...

    def svg(self) -> str:
        """The same as a drawing."""
        ...


def save(figure: alt.TopLevelMixin | TextFigure, path: str | Path, scale: float = 2.0) -> Path:
    """Save a figure as the suffix of `path` says (.png, .svg, .pdf, .html), and return the path.

    `scale` multiplies the pixels of a png; the others have none. The file appears complete or not at all. An html file has its
    scripts in it and asks nobody for anything. Errors: BadInput for another suffix, a scale that is not above 0, a place where
    no file can be, and a package that is missing; NotEnoughDisk.
    """
    path = Path(path)
    kind = check_path(path)
    if not 0 < scale <= 20:
        raise BadInput(what=f"A scale of {scale} cannot be drawn.", remedy="Give a number above 0, at most 20.")
    content = _content(figure, kind, scale)
    with whole_file(path, str(path)) as sink:
        sink.write(content)
    return path


def check_path(path: Path) -> str:
    """The format that the suffix of a path says. Errors: BadInput for another suffix, or a place where no file can be."""
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        said = f"ends in {path.suffix!r}" if path.suffix else "has no suffix"
        raise BadInput(
            what=f"{path} {said}, which is no format of a figure.", remedy=f"End it in .{', .'.join(FORMATS)}."
        )
    if path.is_dir():
        raise BadInput(what=f"{path} is a folder.", remedy="Name a file.")
    if not path.parent.is_dir():
        raise BadInput(what=f"{path}: there is no folder {path.parent}.", remedy="Make it first.")
    return kind


def _content(figure: Any, kind: str, scale: float) -> bytes:
    if isinstance(figure, TextFigure):
        return _text(figure, kind, scale)
    if not hasattr(figure, "to_dict"):
        raise BadInput(
            what=f"A {type(figure).__name__} is no figure.", remedy="Give what a function of superact.figures returns."
        )
    require("vl_convert")
    if kind in ("png", "pdf"):
        sink = io.BytesIO()
        figure.save(sink, format=kind, scale_factor=scale if kind == "png" else 1)
        return sink.getvalue()
    text = io.StringIO()
    if kind == "svg":
        figure.save(text, format="svg")
        return _described(text.getvalue(), str(_said(figure, "description"))).encode()
    figure.save(text, format="html", inline=True, embed_options={"actions": _ACTIONS}, json_kwds={"cls": _ForScript})
    return _titled(text.getvalue(), str(_said(figure, "title"))).encode()


class _ForScript(json.JSONEncoder):
    """JSON that can stand in a script element: a label may be called </script>."""

    def encode(self, o: Any) -> str:
        return super().encode(o).replace("<", "\\u003c")


def _said(figure: Any, what: str) -> str:
    """The description of a chart, or its title and subtitle; empty where it has none."""
    found = figure.to_dict().get(what, "")
    if isinstance(found, dict):
        text = found.get("text", "")
        found = [*([text] if isinstance(text, str) else text), *found.get("subtitle", [])]
    return ", ".join(filter(None, found)) if isinstance(found, list) else str(found)


def _described(svg: str, description: str) -> str:
    """The SVG as an image with a text alternative, which Vega leaves to the page that an SVG is in."""
    if not description:
        return svg
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(description)}" ', 1)


def _titled(page: str, title: str) -> str:
    page = page.replace("<html>", '<html lang="en">', 1)
    return page.replace("<head>", f"<head>\n  <title>{escape(title or 'Figure')}</title>", 1)


def _text(figure: TextFigure, kind: str, scale: float) -> bytes:
    if kind == "html":
        return figure.html().encode()
    if kind == "svg":
        return figure.svg().encode()
    vl_convert = require("vl_convert")
    content: bytes = (
        vl_convert.svg_to_png(figure.svg(), scale=scale) if kind == "png" else vl_convert.svg_to_pdf(figure.svg())
    )
    return content
