"""How far in-concept tokens stand from the others at each layer, and what the tail holds there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from superact.figures.axes import layer_axis, point_size
from superact.figures.extra import require
from superact.figures.frames import Numbers, Strings, drawn, some
from superact.figures.theme import DETECTORS, INK, Style, finish, rows, scales

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

    from superact.figures.about import About
    from superact.figures.frames import Source

MEASURES = {
    "overlap": "Overlap of the densities",
    "auc": "AUC, in against out",
    "cohens_d": "Cohen's d",
    "tail_mass": "In-concept tokens in the tail",
    "tail_coverage": "Samples with a token in the tail",
    "tail_precision": "Precision of the tail",
}
_COLUMNS = ("layer", "label", *MEASURES)


def separation_by_layer(
    source: Source,
    *,
    dataset: str | None = None,
    model: str | None = None,
    layer: Numbers = None,
    concept_set: str | None = None,
    label: Strings = None,
) -> alt.TopLevelMixin:
    """How far in-concept tokens stand from the others against depth: six measures of table separation, a panel each.

    A thin line a label, a thick one their mean; all labels and layers where none are named. The published figures are
    `plot_separation_metrics` and `plot_gt_mass_and_detection_side_by_side`.

    A frame needs layer, label, overlap, auc, cohens_d, tail_mass, tail_coverage and tail_precision, as table separation has
    them; concept_set, dataset, model and blocks are used where they are columns.
    """
    alt = require("altair")
    import polars as pl

    data, about = drawn(
        source,
        "separation_by_layer",
        _COLUMNS,
        tables="separation",
        dataset=dataset,
        model=model,
        layer=layer,
        concept_set=concept_set,
        label=label,
        one_set=True,
    )
    long = data.select("layer", "label", *MEASURES).unpivot(index=["layer", "label"], variable_name="measure")
    long = some(long.drop_nulls("value").sort("measure", "label", "layer"), "separation_by_layer")
    means = long.group_by("measure", "layer").agg(pl.col("value").mean()).sort("measure", "layer")
    panels = [_panel(long, means, measure, about) for measure in MEASURES]
    grid = alt.concat(*panels, columns=3, spacing={"row": 18, "column": 22})
    concept_set = data["concept_set"][0] if "concept_set" in data.columns else None
    return finish(
        grid,
        title=about.title,
        measured=f"separation of in- from out-of-concept test tokens{f', {concept_set}' if concept_set else ''}; "
        "thin: a label, thick: mean over labels",
        description=f"Separation of in-concept from out-of-concept test tokens by layer{about.named}. {_ends(means)}",
    )


def _panel(long: pl.DataFrame, means: pl.DataFrame, measure: str, about: About) -> alt.LayerChart:
    alt = require("altair")
    import polars as pl

    labels = long["label"].unique().sort().to_list()
    x = layer_axis(long["layer"], about)
    domain = alt.Scale(zero=measure == "cohens_d") if measure == "cohens_d" else alt.Scale(domain=[0, 1])
    y = alt.Y("value:Q", title=None, scale=domain, axis=alt.Axis(tickCount=5))
    own = alt.Chart(rows(long.filter(pl.col("measure") == measure).to_dicts()))
    thin = own.mark_line(strokeWidth=1.3, opacity=0.85).encode(
        x=x, y=y, detail="label:N", tooltip=["label:N", "layer:Q", "value:Q"]
    )
    if len(labels) <= len(_LINES):
        colour, dash, _ = scales(dict(zip(labels, _LINES, strict=False)))
        thin = thin.encode(
            color=alt.Color("label:N", scale=colour, title="Label"),
            strokeDash=alt.StrokeDash("label:N", scale=dash, title="Label"),
        )
    else:
        thin = thin.encode(color=alt.value("#BDBDBD"), opacity=alt.value(0.6))
    mean = alt.Chart(rows(means.filter(pl.col("measure") == measure).to_dicts()))
    size = point_size(long["layer"], 40)
    thick = mean.mark_line(strokeWidth=min(3.2, size / 8), color=INK, point={"color": INK, "size": size}).encode(
        x=x, y=y
    )
    title = alt.TitleParams(text=MEASURES[measure], fontSize=12, fontWeight=500, offset=6)
    return alt.layer(thin, thick).properties(width=210, height=130, title=title)


_LINES = (*DETECTORS.values(), Style("#882255", (5, 1)))[:8]


def _ends(means: pl.DataFrame) -> str:
    import polars as pl

    words = []
    for measure, name in MEASURES.items():
        own = means.filter(pl.col("measure") == measure)
        if len(own):
            first, last = own.row(0, named=True), own.row(-1, named=True)
            words.append(
                f"{name}: mean {first['value']:.2f} at layer {first['layer']}, {last['value']:.2f} at layer {last['layer']}"
            )
    return "; ".join(words) + "."
