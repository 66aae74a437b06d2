"""Every figure by name: the function that draws it, what it shows, and the options that apply to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from superact.errors import BadInput
from superact.query.names import unknown

OPTIONS = (
    "dataset",
    "model",
    "layer",
    "concept_set",
    "label",
    "detector",
    "delta",
    "unit",
    "sample",
    "data_root",
)
"""Every option that a figure may take, as a keyword argument, and on the command line."""


@dataclass(frozen=True)
class Figure:
    """One figure. `path` is the function, module:name, imported when it is drawn.

    `options` are those of OPTIONS that apply, `reads` the metric tables it is drawn from. `one` are the options of which
    several values cannot be given; of the rest, layer, concept_set, label, detector, unit and sample may have several.
    """

    name: str
    path: str
    description: str
    options: tuple[str, ...]
    reads: tuple[str, ...]
    one: tuple[str, ...] = ()

    def check(self, given: Iterable[str]) -> None:
        """Raise BadInput for options, by name, that do not apply to this figure."""
        wrong = [name for name in given if name not in self.options]
        if wrong:
            words = ", ".join(option_name(name) for name in wrong)
            raise BadInput(
                what=f"{words} {'does' if len(wrong) == 1 else 'do'} not apply to figure {self.name}.",
                remedy=f"It takes {', '.join(map(option_name, self.options))}.",
            )

    def draw(self, source: Any, **given: Any) -> Any:
        """The figure, drawn with those of the options that are not None; several values of an option as a list.

        Errors: BadInput for an option that does not apply, or that takes one value and was given several; those of the figure.
        """
        given = {name: value for name, value in given.items() if value is not None}
        self.check(given)
        for name in self.one:
            value = given.get(name)
            if isinstance(value, list) and len(value) > 1:
                raise BadInput(
                    what=f"Figure {self.name} takes one {option_name(name)}, not {len(value)}.",
                    remedy="Draw one figure for each.",
                )
        alone = {
            name: value[0] if isinstance(value, list) and len(value) == 1 else value for name, value in given.items()
        }
        return self.function()(source, **alone)

    def function(self) -> Callable[..., Any]:
        """The function, imported."""
        module, _, name = self.path.partition(":")
        found: Callable[..., Any] = getattr(import_module(module), name)
        return found


def option_name(name: str) -> str:
    """An option as it is typed: --concept-set."""
    return "--" + name.replace("_", "-")


def figure_named(name: str) -> Figure:
    """The figure of that name. Errors: BadInput, which suggests the nearest."""
    if name not in FIGURES:
        raise unknown("figure", name, FIGURES)
    return FIGURES[name]


def _figure(name: str, module: str, description: str, options: str, reads: str, one: str = "") -> Figure:
    return Figure(
        name,
        f"superact.figures.{module}:{name}",
        description,
        ("dataset", "model", *options.split()),
        tuple(reads.split()),
        tuple(one.split()),
    )


def _by_name(figures: Iterable[Figure]) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures}


FIGURES = _by_name(
    (
        _figure(
            "activation_distributions",
            "distributions",
            "Densities of test scores in and out of concept, by label and layer, with the superactivators in the tail.",
            "layer concept_set label",
            "distributions selection",
            one="concept_set",
        ),
        _figure(
            "separation_by_layer",
            "separation",
            "How far in-concept tokens stand from the others by layer: overlap, AUC, Cohen's d, and what the tail holds.",
            "layer concept_set label",
            "separation",
            one="concept_set",
        ),
        _figure(
            "f1_by_delta",
            "methods",
            "Weighted test F1 against delta, a line a concept set, with the floors.",
            "layer concept_set label detector",
            "detection selection layer_selection prompt_detection",
            one="layer detector",
        ),
        _figure(
            "f1_by_delta_per_label",
            "methods",
            "Test F1 against delta, a panel a label.",
            "layer concept_set label detector",
            "detection selection layer_selection prompt_detection",
            one="layer detector",
        ),
        _figure(
            "f1_by_layer",
            "methods",
            "Weighted test F1 of each detector of a concept set against depth, with intervals and floors.",
            "layer concept_set detector",
            "summary",
            one="concept_set",
        ),
        _figure(
            "detection_heatmap",
            "comparison",
            "Weighted test F1 of every detector (rows) at every layer (columns), the best layer of a row boxed.",
            "layer concept_set detector unit",
            "summary",
        ),
        _figure(
            "f1_bars",
            "comparison",
            "Weighted test F1 of every concept set and detector with 95 % intervals, and the floors.",
            "layer concept_set detector unit",
            "summary",
            one="layer",
        ),
        _figure(
            "localization_table",
            "localizers",
            "Token F1 and IoU of every localizer and concept set as a table, the best of a column in bold.",
            "layer concept_set label",
            "localization layer_selection",
            one="layer",
        ),
        _figure(
            "localization_bars",
            "localizers",
            "The same numbers as bars.",
            "layer concept_set label",
            "localization layer_selection",
            one="layer",
        ),
        _figure(
            "delta_histogram",
            "choices",
            "How many labels chose each delta on cal, stacked by concept set (or the detectors of one).",
            "layer concept_set label detector",
            "selection layer_selection",
            one="layer",
        ),
        _figure(
            "layer_histogram",
            "choices",
            "How many labels are best at each layer on cal, stacked by concept set (or the detectors of one).",
            "concept_set label detector",
            "layer_selection",
        ),
        _figure(
            "precision_recall",
            "curves",
            "Precision against recall on test, a panel a label, with the threshold chosen on cal and curves of equal F1.",
            "layer concept_set label detector",
            "selection layer_selection detection",
            one="layer detector",
        ),
        _figure(
            "superactivator_coverage",
            "curves",
            "Which share of a sample's in-concept tokens are superactivators: the cumulative distribution over samples.",
            "layer concept_set label",
            "superactivator_ratio layer_selection",
            one="layer concept_set",
        ),
        _figure(
            "image_concepts",
            "images",
            "An image beside its scores for each label: superactivators and ground truth outlined.",
            "layer concept_set label delta sample data_root",
            "selection layer_selection thresholds",
            one="layer concept_set",
        ),
        _figure(
            "top_patches",
            "galleries",
            "The patches of test images that score highest for a label, each amid its neighbours.",
            "layer concept_set label delta data_root",
            "selection layer_selection thresholds",
            one="layer concept_set label",
        ),
        _figure(
            "outcome_gallery",
            "galleries",
            "Test images that are true and false positives and negatives of a label, ranked.",
            "layer concept_set label delta data_root",
            "selection layer_selection thresholds detection",
            one="layer concept_set label",
        ),
        _figure(
            "text_concepts",
            "texts",
            "Texts with coloured tokens for each label: superactivators boxed, ground truth underlined.",
            "layer concept_set label delta sample",
            "selection layer_selection thresholds",
            one="layer concept_set",
        ),
        _figure(
            "top_tokens",
            "texts",
            "The tokens of test texts that score highest for a label, in context.",
            "layer concept_set label delta",
            "selection layer_selection thresholds",
            one="layer concept_set label",
        ),
    )
)
"""In the order in which they are listed."""
