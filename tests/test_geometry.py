"""One geometry for image and mask: a mask drawn at a place lands on the patches that see that place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from superact.datasets.geometry import Geometry, GeometryKind, fit
from superact.errors import BadInput

KINDS: tuple[GeometryKind, ...] = ("squash", "crop", "letterbox")
SIZE, PATCH = 56, 14


@st.composite
def rectangles(draw: st.DrawFn) -> np.ndarray:
    """A bool mask of random size with one rectangle drawn in."""
    width, height = draw(st.integers(20, 200)), draw(st.integers(20, 200))
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    mask = np.zeros((height, width), bool)
    mask[top : draw(st.integers(top + 1, height)), left : draw(st.integers(left + 1, width))] = True
    return mask


def source_edges(kind: GeometryKind, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the borders of the model's pixel columns and rows lie in the original, worked out by hand."""
    edges = np.arange(SIZE + 1, dtype=float)
    if kind == "squash":
        return edges * width / SIZE, edges * height / SIZE
    if kind == "letterbox":
        scale = max(width, height) / SIZE
        # A side is fitted to a whole number of pixels, so its scale differs a little from the longest side's.
        across, down = (max(int(side / scale + 1e-9), 1) for side in (width, height))
        return edges * width / across, edges * height / down
    scale = min(width, height) / SIZE
    across, down = (int(SIZE * side / min(width, height)) for side in (width, height))
    return (edges + (across - SIZE) // 2) * width / across, (edges + (down - SIZE) // 2) * height / down


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150)
@given(mask=rectangles())
def test_mask_lands_where_the_patches_see_it(kind: GeometryKind, mask: np.ndarray) -> None:
    height, width = mask.shape
    geometry = Geometry(kind, SIZE, PATCH)
    found = geometry.patches(geometry.mask(mask)).reshape(geometry.grid)
    columns, rows = source_edges(kind, width, height)
    ys, xs = np.nonzero(mask)
    left, right, top, bottom = xs.min(), xs.max() + 1, ys.min(), ys.max() + 1
    # One original or one model pixel of tolerance, whichever is larger, for the rounding of the fit and of nearest.
    slack_x, slack_y = 2 * max(1, columns[1] - columns[0]), 2 * max(1, rows[1] - rows[0])
    for row in range(geometry.grid[0]):
        for column in range(geometry.grid[1]):
            x0, x1 = columns[column * PATCH], columns[(column + 1) * PATCH]
            y0, y1 = rows[row * PATCH], rows[(row + 1) * PATCH]
            overlap_x, overlap_y = min(x1, right) - max(x0, left), min(y1, bottom) - max(y0, top)
            if overlap_x > slack_x and overlap_y > slack_y:
                assert found[row, column]
            if overlap_x < -slack_x or overlap_y < -slack_y:
                assert not found[row, column]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100)
@given(mask=rectangles())
def test_image_and_mask_agree(kind: GeometryKind, mask: np.ndarray) -> None:
    drawn = Image.fromarray(np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=2))
    geometry = Geometry(kind, SIZE, PATCH)
    pixels = np.asarray(geometry.image(drawn, Image.Resampling.NEAREST))
    assert pixels.shape == (SIZE, SIZE, 3)
    found = geometry.mask(mask)
    assert found.dtype == bool
    assert np.array_equal(found, pixels[..., 0] == 255)


@st.composite
def speckles(draw: st.DrawFn) -> np.ndarray:
    """A bool mask of random size, from single pixels to all of them: sides of 1 to 255 pixels."""
    width, height = draw(st.integers(1, 255)), draw(st.integers(1, 255))
    share = draw(st.sampled_from([0.0005, 0.01, 0.3, 1.0]))
    return np.random.default_rng(draw(st.integers(0, 1 << 30))).random((height, width)) < share


@pytest.mark.parametrize("size", [SIZE, 224])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(mask=speckles())
def test_a_patch_is_positive_iff_it_sees_a_pixel_of_the_mask(kind: GeometryKind, size: int, mask: np.ndarray) -> None:
    """Exact, without any arithmetic of sizes: every pixel of the image is painted with its own place, and what a patch sees is
    read off the image that the model gets."""
    height, width = mask.shape
    places = np.zeros((height, width, 3), np.uint8)
    places[..., 0], places[..., 1], places[..., 2] = np.arange(width)[None, :], np.arange(height)[:, None], 1
    geometry = Geometry(kind, size, PATCH)
    x, y, inside = np.moveaxis(np.asarray(geometry.image(Image.fromarray(places), Image.Resampling.NEAREST)), 2, 0)
    found = geometry.patches(geometry.mask(mask))
    content = geometry.content(width, height)
    for patch, (row, column) in enumerate(np.ndindex(geometry.grid)):
        window = np.s_[row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH]
        seen = inside[window] == 1
        assert found[patch] == mask[y[window][seen], x[window][seen]].any()
        assert content[patch] == seen.any()


@pytest.mark.parametrize("resample", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS])
@pytest.mark.parametrize("kind", KINDS)
# Most rectangles of a narrow picture reach beyond what geometry crop keeps: that many are passed over is no mistake.
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(mask=rectangles())
def test_what_a_model_sees_of_an_object_is_where_its_mask_is(
    kind: GeometryKind, resample: Image.Resampling, mask: np.ndarray
) -> None:
    """The image is resized with the model's own smooth filter and the mask with nearest neighbour: their centres agree."""
    geometry = Geometry(kind, 224, PATCH)
    drawn = Image.fromarray(np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=2))
    seen = np.asarray(geometry.image(drawn, resample), dtype=float)[..., 0]
    found = geometry.mask(mask)
    # An object that is cut off at the border has no centre to compare.
    assume(found.any() and not (found[0].any() or found[-1].any() or found[:, 0].any() or found[:, -1].any()))
    for axis, sides in ((0, mask.shape[1]), (1, mask.shape[0])):
        bright, marked = seen.sum(axis), found.sum(axis).astype(float)
        places = np.arange(224)
        centres = [(weights * places).sum() / weights.sum() for weights in (bright, marked)]
        # Nearest neighbour moves each of the two edges by at most half an original or half a model pixel.
        assert abs(centres[0] - centres[1]) <= 0.5 + max(224 / min(mask.shape), 224 / sides, 1) / 2


@pytest.mark.parametrize(("kind", "size"), [("squash", 224), ("crop", 224), ("letterbox", 560)])
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_one_pixel_of_a_photograph_at_the_published_sizes(kind: GeometryKind, size: int, data: st.DataObject) -> None:
    """A pixel lands on the patch that its place has by arithmetic, or between two of them, or vanishes when shrunk."""
    width, height = data.draw(st.integers(50, 900)), data.draw(st.integers(50, 900))
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    mask = np.zeros((height, width), bool)
    mask[y, x] = True
    geometry = Geometry(kind, size, PATCH)
    scaled = {
        "squash": (size, size),
        "letterbox": fit(width, height, size),
        "crop": (int(size * width / min(width, height)), int(size * height / min(width, height))),
    }[kind]
    moved = [(side - size) // 2 if kind == "crop" else 0 for side in scaled]
    spans = [
        (place * side / original - shift - 1, (place + 1) * side / original - shift + 1)
        for place, original, side, shift in zip((x, y), (width, height), scaled, moved, strict=True)
    ]
    found = np.argwhere(geometry.patches(geometry.mask(mask)).reshape(geometry.grid))
    for row, column in found.tolist():
        for at, (low, high) in zip((column, row), spans, strict=True):
            assert at * PATCH < high and (at + 1) * PATCH > low
    inside = all(low >= 0 and high <= size for low, high in spans)
    if inside and scaled[0] >= width and scaled[1] >= height:
        assert len(found)
    content = geometry.content(width, height).reshape(geometry.grid)
    assert all(content[row, column] for row, column in found.tolist())


@settings(max_examples=60)
@given(mask=st.integers(0, 1 << 30))
def test_patches_are_a_max_pool(mask: int) -> None:
    pixels = np.random.default_rng(mask).random((SIZE, SIZE)) < 0.005
    expected = [
        pixels[y : y + PATCH, x : x + PATCH].max() for y in range(0, SIZE, PATCH) for x in range(0, SIZE, PATCH)
    ]
    assert Geometry("squash", SIZE, PATCH).patches(pixels).tolist() == expected


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(width=st.integers(1, 300), height=st.integers(1, 300))
def test_content_is_where_a_full_mask_lands(kind: GeometryKind, width: int, height: int) -> None:
    geometry = Geometry(kind, SIZE, PATCH)
    full = geometry.patches(geometry.mask(np.ones((height, width), bool)))
    assert np.array_equal(geometry.content(width, height), full)
    if kind != "letterbox":
        assert full.all()


def test_letterbox_content_of_the_reference() -> None:
    # Reference 01, section 6, check 3.
    geometry = Geometry("letterbox", 560, 14)
    landscape = geometry.content(640, 480).reshape(40, 40)
    assert landscape[:30].all()
    assert not landscape[30:].any()
    portrait = geometry.content(480, 640).reshape(40, 40)
    assert portrait[:, :30].all()
    assert not portrait[:, 30:].any()
    assert geometry.content(333, 333).all()


def test_one_pixel_makes_one_patch() -> None:
    # Reference 01, section 6, check 4.
    mask = np.zeros((224, 224), bool)
    mask[13, 14] = True
    for kind in KINDS:
        geometry = Geometry(kind, 224, 14)
        assert geometry.grid == (16, 16)
        assert np.flatnonzero(geometry.patches(geometry.mask(mask))).tolist() == [1]


def test_fit_keeps_the_published_float_expression() -> None:
    assert fit(640, 480, 560) == (560, 420)
    assert fit(480, 640, 560) == (420, 560)
    assert fit(7, 7, 224) == (224, 224)
    assert fit(3000, 2, 56) == (56, 1)
    below = [(w, h) for w in range(100, 1001) for h in range(100, w) if fit(w, h, 224)[1] == 224 * h // w - 1]
    assert len(below) == 106


def test_crop_keeps_the_middle() -> None:
    mask = np.zeros((100, 300), bool)
    mask[:, :90] = True
    geometry = Geometry("crop", SIZE, PATCH)
    assert not geometry.mask(mask).any()
    mask[:, 100:200] = True
    assert geometry.mask(mask).all()


def test_letterbox_pads_with_black() -> None:
    image = Image.new("L", (100, 50), 200)
    pixels = np.asarray(Geometry("letterbox", SIZE, PATCH).image(image, Image.Resampling.BICUBIC))
    assert (pixels[:28] == 200).all()
    assert (pixels[28:] == 0).all()


def test_crop_refuses_what_it_could_only_resize_with_gigabytes() -> None:
    crop = Geometry("crop", 224, 14)
    assert crop.mask(np.ones((1, 400), bool)).all()
    for shape in ((1, 401), (65_000, 3)):
        with pytest.raises(BadInput, match="too narrow for geometry crop"):
            crop.mask(np.ones(shape, bool))
        assert Geometry("squash", 224, 14).mask(np.ones(shape, bool)).all()


def test_nearest_neighbour_of_the_reference() -> None:
    """Reference 1.5: Pillow's own NEAREST is floor((k + 1/2) * source / target) at these sizes."""
    for source, target in ((500, 560), (480, 224), (149, 224)):
        line = np.arange(source) % 3 == 0
        expected = line[((np.arange(target) + 0.5) * source / target).astype(int)]
        assert np.array_equal(Geometry("squash", target, 14).mask(np.tile(line, (target, 1)))[0], expected)


def test_bad_geometry() -> None:
    with pytest.raises(BadInput, match="multiple of the model's patch size"):
        Geometry("squash", 225, 14)
    with pytest.raises(BadInput, match="squash, crop, letterbox"):
        Geometry("stretch", 224, 14)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="56 x 56"):
        Geometry("squash", 56, 14).patches(np.zeros((14, 14), bool))
