"""What a figure is about, as its title and axes say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from superact.errors import BadInput

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class About:
    """What a figure is about, as its title says it. `blocks` is None where the depth of the model is not known."""

    dataset: str
    model: str
    blocks: int | None = None

    @property
    def title(self) -> str:
        """Dataset | model, by their display names."""
        return " | ".join(name for name in (self.dataset, self.model) if name)

    @property
    def named(self) -> str:
        """The title behind a comma, to go on a sentence with; nothing for a frame that does not say whose it is."""
        return f", {self.title}" if self.title else ""

    def percent(self, layer: int) -> int | None:
        """How far through the model a layer is, in percent."""
        return None if not self.blocks else round(100 * layer / self.blocks)

    def layer(self, layer: int) -> str:
        """A layer as it is written: layer 6 (50 % through)."""
        percent = self.percent(layer)
        return f"layer {layer}" if percent is None else f"layer {layer} ({percent} % through)"

    def where(self, layer: int | None) -> str:
        """Where labels stand, as a subtitle says it; None is each at its best layer."""
        return "each label at its best layer on cal" if layer is None else self.layer(layer)


def about_frame(data: pl.DataFrame) -> About:
    """What a frame says about itself in the columns dataset, model (or dataset_name, model_name) and blocks, if it has them."""
    found: dict[str, Any] = {"dataset": "", "model": "", "blocks": None}
    for name in found:
        column = next((one for one in (f"{name}_name", name) if one in data.columns), None)
        values = [] if column is None else data[column].drop_nulls().unique().sort().to_list()
        if len(values) > 1:
            raise BadInput(
                what=f"The frame has several {name}s: {', '.join(map(str, values))}.",
                remedy=f"Keep one, or say which with {name}=.",
            )
        found[name] = values[0] if values else found[name]
    return About(**found)
