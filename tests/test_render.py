"""Rendered scenes: exact intersections, exact masks, the published layout, resuming and refusing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superact.datasets import clevr, open_dataset, raytrace
from superact.datasets.clevr import RenderReport, render_clevr
from superact.datasets.splits import cal_tail_split
from superact.errors import BadInput


def scene_of(shape: str) -> raytrace.Scene:
    return next(scene for scene in (raytrace.sample_scene(3, index) for index in range(50)) if scene.shape == shape)


def is_inside(scene: raytrace.Scene, points: np.ndarray) -> np.ndarray:
    x, y, z = ((points - scene.centre) @ scene.rotation.T).T
    r = scene.radius
    if scene.shape == "sphere":
        return x * x + y * y + z * z < r * r
    if scene.shape == "cube":
        return (abs(x) < r) & (abs(y) < r) & (abs(z) < r)
    return (x * x + y * y < r * r) & (abs(z) < r)


def rays_at(scene: raytrace.Scene, n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    target = scene.centre + rng.uniform(-1.3, 1.3, (n, 3)) * scene.radius
    rays = target - scene.eye
    return (rays / np.linalg.norm(rays, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("shape", raytrace.SHAPES)
def test_intersections_against_marching(shape: str) -> None:
    scene = scene_of(shape)
    rays, step = rays_at(scene, 300), 0.004
    distance, normal = raytrace.intersect(scene, scene.eye, rays)
    marks = np.arange(2, 14, step)
    entered = np.array([is_inside(scene, scene.eye + ray * marks[:, None]) for ray in rays])
    met = entered.any(1)
    assert 50 < met.sum() < 290
    # Marching can miss a grazing hit, never invent one.
    assert np.isfinite(distance)[met].all()
    assert (np.isfinite(distance) & ~met).sum() <= 6
    assert np.abs(distance[met] - marks[entered.argmax(1)][met]).max() <= step + 1e-3
    assert np.allclose(np.linalg.norm(normal[met], axis=1), 1, atol=1e-3)
    assert ((normal * rays).sum(1)[met] < 1e-3).all()
    outside = scene.eye + rays * distance[:, None] + 0.02 * normal
    assert not is_inside(scene, outside[met]).any()


@pytest.mark.parametrize("shape", raytrace.SHAPES)
def test_nothing_is_lost_to_the_bounding_boxes(shape: str) -> None:
    scene = scene_of(shape)
    rays, in_box = raytrace._camera_rays(scene, 96)
    flat = rays.reshape(-1, 3)
    hit = np.isfinite(raytrace.intersect(scene, scene.eye, flat)[0])
    assert hit.any()
    assert not (hit & ~in_box.reshape(-1)).any()
    floor = np.stack(np.meshgrid(np.linspace(-4, 4, 80), np.linspace(-4, 4, 80), [0]), -1).reshape(-1, 3)
    floor = floor.astype(np.float32)
    visibility = raytrace._floor_visibility(scene, floor)
    to_light = scene.key_light - floor
    to_light /= np.linalg.norm(to_light, axis=1, keepdims=True)
    shadowed = np.isfinite(raytrace.intersect(scene, floor, to_light)[0])
    assert shadowed.any()
    assert visibility.min() >= 0
    # The middle of the light is hidden: so is some of it, and at most a corner of it elsewhere is.
    assert (visibility[shadowed] < 1).all()
    assert (visibility[~shadowed] > 0).all()


@pytest.mark.parametrize("shape", raytrace.SHAPES)
def test_mask_is_the_pixels_that_are_half_covered(shape: str) -> None:
    scene = scene_of(shape)
    rays, _ = raytrace._camera_rays(scene, 96)
    hit = np.isfinite(raytrace.intersect(scene, scene.eye, rays.reshape(-1, 3))[0]).reshape(48, 2, 48, 2)
    picture, mask = raytrace.render(scene, 48)
    assert picture.shape == (48, 48, 3)
    assert picture.dtype == np.uint8
    assert np.array_equal(mask, hit.sum((1, 3)) >= 2)
    # The object is coloured and the floor grey, so the mask must be what stands out.
    coloured = np.ptp(picture.astype(int), axis=2) > 20
    assert (coloured & mask).sum() / (coloured | mask).sum() > 0.9


def test_scenes_show_their_color_and_stay_in_the_picture() -> None:
    for index in range(40):
        scene = raytrace.sample_scene(0, index)
        picture, mask = raytrace.render(scene, 32)
        assert mask.sum() >= 6
        red, green, blue = picture[mask].mean(0)
        assert max(("red", red), ("green", green), ("blue", blue), key=lambda pair: pair[1])[0] == scene.color


def test_layout(tmp_path: Path) -> None:
    report = render_clevr(tmp_path / "CLEVR-Mini", 10, size=32, workers=1)
    assert report == RenderReport(10, 0, tmp_path / "CLEVR-Mini")
    lines = (report.path / "metadata.csv").read_text().splitlines()
    assert lines[0] == (
        "image_path,class,color::blue,color::green,color::red,shape::cube,shape::cylinder,shape::sphere,split,mask_path"
    )
    assert lines[1].startswith("images/CLEVR_new_000000.png,")
    assert lines[9].startswith("cal_images/images/CLEVR_new_000008.png,")
    assert lines[9].endswith(",cal,masks/cal_images/images/CLEVR_new_000008.png")
    dataset = open_dataset("clevr-mini", tmp_path)
    assert dataset.samples["split"].to_list() == cal_tail_split(10)
    assert len(dataset.labels) == 6
    assert dataset.sample_labels.height == 20
    for sample in range(10):
        masks = dataset.masks(sample)
        color, shape = sorted(masks)
        assert lines[sample + 1].split(",")[1] == f"{color.removeprefix('color::')}_{shape.removeprefix('shape::')}"
        assert masks[color].any()
        assert dataset.image(sample).size == (32, 32)
    stored = np.asarray(Image.open(report.path / "masks/images/CLEVR_new_000000.png"))
    assert set(np.unique(stored)) == {0, 255}
    assert not list(report.path.rglob("*.part"))


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    render_clevr(tmp_path / "one", 20, size=16, seed=5, workers=1)
    report = render_clevr(tmp_path / "two", 20, size=16, seed=5, workers=2, progress=False)
    assert report.n_rendered == 20
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    render_clevr(tmp_path / "other", 20, size=16, seed=6, workers=1)
    assert (
        contents(tmp_path / "one")["images/CLEVR_new_000000.png"]
        != (contents(tmp_path / "other")["images/CLEVR_new_000000.png"])
    )


def test_resumes_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = render_clevr(tmp_path / "whole", 6, size=16, workers=1).path
    calls = []

    def failing(scene: raytrace.Scene, size: int) -> tuple[np.ndarray, np.ndarray]:
        calls.append(scene)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return raytrace.render(scene, size)

    monkeypatch.setattr(clevr, "render", failing)
    with pytest.raises(KeyboardInterrupt):
        render_clevr(tmp_path / "part", 6, size=16, workers=1)
    assert not (tmp_path / "part/metadata.csv").exists()
    report = render_clevr(tmp_path / "part", 6, size=16, workers=1)
    assert (report.n_rendered, report.n_skipped) == (3, 3)
    assert contents(tmp_path / "part") == contents(whole)


def test_running_again_renders_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "C"
    before = contents(render_clevr(out, 6, size=16, workers=1).path)
    (out / "masks/images/CLEVR_new_000002.png").unlink()
    assert render_clevr(out, 6, size=16, workers=1).n_rendered == 1
    assert contents(out) == before
    monkeypatch.setattr(clevr, "render", None)
    assert render_clevr(out, 6, size=16).n_skipped == 6


@pytest.mark.parametrize(
    ("changed", "expected"),
    [({"n": 7}, "n 6, not 7"), ({"seed": 1}, "seed 0, not 1"), ({"size": 24}, "size 16, not 24")],
)
def test_other_settings_are_refused_unless_forced(tmp_path: Path, changed: dict[str, int], expected: str) -> None:
    out, settings = tmp_path / "C", {"n": 6, "size": 16, "seed": 0}
    before = contents(render_clevr(out, **settings, workers=1).path)
    with pytest.raises(BadInput, match=expected):
        render_clevr(out, **{**settings, **changed}, workers=1)
    assert contents(out) == before
    report = render_clevr(out, **{**settings, **changed}, workers=1, force=True)
    assert report.n_skipped == 0
    fresh = render_clevr(tmp_path / "fresh", **{**settings, **changed}, workers=1)
    assert contents(out) == contents(fresh.path)
    assert json.loads((out / "render.json").read_text())["n"] == {**settings, **changed}["n"]


def test_foreign_folders_are_never_touched(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/mine.png").write_bytes(b"x")
    for force in (False, True):
        with pytest.raises(BadInput, match=r"no render\.json"):
            render_clevr(tmp_path, 2, size=16, force=force)
    assert contents(tmp_path) == {"images/mine.png": b"x"}
    with pytest.raises(BadInput, match="is a file"):
        render_clevr(tmp_path / "images/mine.png", 2, size=16)


def test_force_keeps_files_of_others(tmp_path: Path) -> None:
    out = render_clevr(tmp_path / "C", 2, size=16, workers=1).path
    (out / "images/mine.png").write_bytes(b"x")
    render_clevr(out, 3, size=16, workers=1, force=True)
    assert (out / "images/mine.png").read_bytes() == b"x"


def test_damaged_note(tmp_path: Path) -> None:
    out = render_clevr(tmp_path / "C", 2, size=16, workers=1).path
    (out / "render.json").write_text("{")
    with pytest.raises(BadInput, match=r"render\.json is damaged"):
        render_clevr(out, 2, size=16)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({"n": 0}, "n = 0"), ({"n": 2, "size": 4}, "size = 4"), ({"n": 2, "seed": -1}, "seed = -1")],
)
def test_bad_settings(tmp_path: Path, settings: dict[str, int], expected: str) -> None:
    with pytest.raises(BadInput, match=expected):
        render_clevr(tmp_path / "C", **settings)
    assert not (tmp_path / "C").exists()


def test_progress_goes_to_stderr_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    render_clevr(tmp_path / "Silent", 2, size=16, workers=1)
    assert capsys.readouterr() == ("", "")
    render_clevr(tmp_path / "Shown", 2, size=16, workers=1, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "Rendering Shown" in err
    assert "2/2" in err
