"""The images of a dataset, as their files have them and as the model saw them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superact.errors import BadInput, MissingTable
from superact.figures.extra import require
from superact.figures.frames import PACKAGE, run

if TYPE_CHECKING:
    from PIL.Image import Image

    from superact.datasets.geometry import Geometry
    from superact.query import Session

_BICUBIC = 3
"""Pillow's filter for showing: close to every processor's own, and only looked at."""
_KEPT = 64


@dataclass(frozen=True)
class View:
    """Where the patch grid lies on an image. Lengths are in patches, from the top left corner of the grid.

    The model saw `width` x `height` patches of the image, which itself begins at (`left`, `top`) and is `image_width` x
    `image_height` large: more than what was seen where the image was cropped. `aspect` is width / height of a patch in the
    image's own pixels: 1 unless the image was squashed.
    """

    width: float
    height: float
    left: float
    top: float
    image_width: float
    image_height: float
    aspect: float


class Pictures:
    """The images of one dataset, with the map from image to patches by which a model's tokens were made.

    `grid` is (rows, columns) of patches; `size` the side in pixels of the square that the model saw; `geometry` the map itself
    (`superact.datasets.geometry`). Files are looked up in the dataset's folder below `data_root`, then in `data_root`.
    Errors: BadInput without Pillow, for a dataset of texts and for imported tokens, whose map is not known; MissingTable
    without tokens.
    """

    def __init__(self, session: Session, dataset: str, model: str, data_root: Path | str = "Data") -> None:
        require("PIL")
        self._session, self.dataset, self.model, self._data_root = session, dataset, model, Path(data_root)
        self.geometry = _geometry(session, dataset, model)
        self.grid = self.geometry.grid
        self.size = self.geometry.size
        self._original = lru_cache(_KEPT)(self._read)

    def original(self, sample: int) -> Image:
        """The image as its file has it, RGB. Errors: BadInput naming the file and --data-root, UnreadableFile."""
        return self._original(int(sample))

    def input(self, sample: int) -> Image:
        """The image as the model saw it: RGB, `size` pixels square, before its colours were normalised."""
        return self.geometry.image(self.original(sample), _BICUBIC)

    def seen(self, sample: int) -> Image:
        """`input` without the padding of a letterbox."""
        picture, view = self.input(sample), self.view(sample)
        rows, columns = self.grid
        width, height = view.width * self.size / columns, view.height * self.size / rows
        return picture.crop((0, 0, round(width), round(height)))

    def view(self, sample: int) -> View:
        """Where the patches lie on the image of a sample."""
        from superact.datasets.geometry import fit

        rows, columns = self.grid
        width, height = self.original(sample).size
        if self.geometry.kind == "squash":
            return View(columns, rows, 0.0, 0.0, columns, rows, width / columns / (height / rows))
        if self.geometry.kind == "letterbox":
            fitted_width, fitted_height = fit(width, height, self.size)
            across, down = fitted_width * columns / self.size, fitted_height * rows / self.size
            return View(across, down, 0.0, 0.0, across, down, 1.0)
        patch = min(width, height) / columns
        across, down = width / patch, height / patch
        return View(columns, rows, (columns - across) / 2, (rows - down) / 2, across, down, 1.0)

    def _read(self, sample: int) -> Image:
        from superact.datasets.paths import Roots
        from superact.datasets.reading import read_rgb

        found = run(self._session, PACKAGE, "sample_facts", dataset=self.dataset, samples=[sample]).to_dicts()
        if not found or found[0]["path"] is None:
            raise BadInput(
                what=f"Sample {sample} of {self.dataset} has no image file.",
                remedy="Only samples with one can be drawn.",
            )
        if (plugin := self._plugin) is not None:
            image: Image = plugin.image(sample)
            return image
        try:
            _, file = Roots(self._data_root, self._folder).locate(found[0]["path"])
        except ValueError as error:
            raise BadInput(what=f"Sample {sample} of {self.dataset}: {error}.", remedy="Correct its path.") from error
        if not file.is_file():
            raise BadInput(
                what=f"{file.absolute()} does not exist: it is the image of sample {sample} of {self.dataset}.",
                remedy="Say with --data-root (data_root=) which folder the dataset's folder is in.",
            )
        return read_rgb(file, sample, self._folder / "metadata.csv")

    @cached_property
    def _plugin(self) -> Any:
        from superact.datasets import plugin_of
        from superact.datasets.plugins import open_plugin

        plugin = plugin_of(self.dataset, self._data_root)
        return None if plugin is None else open_plugin(plugin, self._data_root)

    @cached_property
    def _folder(self) -> Path:
        """The dataset's folder, whatever it is called, or where it would be."""
        from superact.datasets import folder_of

        found = run(self._session, PACKAGE, "dataset_source", dataset=self.dataset)["source"].to_list()
        # Its name alone: a warehouse that came from elsewhere cannot point at other folders of this machine.
        source = Path(found[0] or self.dataset).name
        for name in (source, self.dataset):
            try:
                return folder_of(name, self._data_root)
            except BadInput:
                continue
        return self._data_root / source


def _geometry(session: Session, dataset: str, model: str) -> Geometry:
    from superact.datasets.geometry import Geometry

    published = session.warehouse.state().get("tokens", dataset=dataset, model=model)
    if published is None:
        raise MissingTable(
            stage="This figure",
            table="tokens",
            where=f"dataset {dataset} model {model}",
            warehouse=session.warehouse.root,
            command="superact ingest",
        )
    found = run(session, PACKAGE, "patch_grid", dataset=dataset, model=model).to_dicts()[0]
    if found["rows"] is None:
        raise BadInput(what=f"{dataset} is a dataset of texts.", remedy="Use text_concepts or top_tokens.")
    kind, size = published.identity.get("model:geometry"), published.identity.get("model:input_size")
    if kind is None or size is None:
        raise BadInput(
            what=f"The tokens of {dataset} under {model} were imported: how the images met their patch grid is not known.",
            remedy="Draw samples of a model that `superact ingest` read the images with.",
        )
    return Geometry(kind, int(size), int(size) // int(found["rows"]))
