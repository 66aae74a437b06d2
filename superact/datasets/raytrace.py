"""A small ray tracer for scenes of one object on a grey floor, in NumPy.

One cube, cylinder or sphere in one of CLEVR's colours, rubber or metal, under a square key light and a fill light, with
random size, place, rotation, camera and lights: the look of CLEVR without Blender. Vectors are float32 in a world with
the floor at z = 0 and z up; an object stands on the floor, its half size is its radius.

What keeps it quick: only rays inside the object's projected bounding box are intersected with it. The shapes are
convex, so a point of the object is lit exactly when its normal faces the light; shadow rays are shot from the floor
alone, and there only inside the bounding box of the shadow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

COLORS = {"blue": (42, 75, 215), "green": (29, 105, 20), "red": (173, 35, 35)}
SHAPES = ("cube", "cylinder", "sphere")

_RADIUS = {"cube": (0.5, 0.85), "cylinder": (0.5, 0.9), "sphere": (0.55, 0.95)}
_SUPERSAMPLES = 2  # per pixel and axis
_LIGHT_GRID = 4  # the key light is sampled once in each cell of this many x this many
_LIGHT_HALF_WIDTH = 0.8
_FIELD = 0.9  # width of the image plane at distance 1
_FLOOR, _HAZE, _AMBIENT = 0.42, 0.36, 0.22
_NOISE = 0.006  # standard deviation, of display values in [0, 1]


@dataclass(frozen=True)
class Scene:
    """Everything random about one picture; `rng` is left where the pixel noise and the light samples begin."""

    shape: str
    color: str
    metal: bool
    radius: float
    place: tuple[float, float]
    angle: float
    eye: np.ndarray
    key_light: np.ndarray
    fill_light: np.ndarray
    rng: np.random.Generator

    @property
    def centre(self) -> np.ndarray:
        """The object's centre, float32 [3]."""
        return np.array([*self.place, self.radius], np.float32)

    @property
    def rotation(self) -> np.ndarray:
        """The rotation from world to object axes, float32 [3, 3]."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]], np.float32)

    def corners(self) -> np.ndarray:
        """The corners of the cube around the object, float32 [8, 3], in the world."""
        signs = np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1]), -1).reshape(8, 3)
        return (signs * self.radius).astype(np.float32) @ self.rotation + self.centre


def sample_scene(seed: int, index: int) -> Scene:
    """Draw scene `index` of a series; it depends on (seed, index) alone. Cheap: nothing is rendered."""
    rng = np.random.default_rng([seed, index])
    color, shape = tuple(COLORS)[rng.integers(3)], SHAPES[rng.integers(3)]
    return Scene(
        shape=shape,
        color=color,
        metal=bool(rng.random() < 0.5),
        radius=float(rng.uniform(*_RADIUS[shape])),
        place=(float(rng.uniform(-1.6, 1.6)), float(rng.uniform(-1.6, 1.6))),
        angle=float(rng.uniform(0, 2 * np.pi)),
        eye=(np.array([5.2, -4.5, 3.7]) + rng.uniform(-0.4, 0.4, 3)).astype(np.float32),
        key_light=(np.array([-3.0, -5.0, 7.0]) + rng.uniform(-1, 1, 3)).astype(np.float32),
        fill_light=(np.array([6.0, 3.0, 5.0]) + rng.uniform(-1, 1, 3)).astype(np.float32),
        rng=rng,
    )


def render(scene: Scene, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the picture, uint8 [size, size, 3], and its mask, bool [size, size].

    A pixel belongs to the mask when at least half of its rays hit the object (coverage >= 50 %). Render a scene once:
    its generator is used up by the light samples and the noise.
    """
    n = size * _SUPERSAMPLES
    rays, in_box = _camera_rays(scene, n)
    flat, candidates = rays.reshape(-1, 3), np.flatnonzero(in_box)
    distance, normal = intersect(scene, scene.eye, flat[candidates])
    is_hit = np.isfinite(distance)
    hit = candidates[is_hit]
    light = _floor_light(scene, flat)
    light[hit] = _object_light(scene, flat[hit], distance[is_hit], normal[is_hit])
    covered = np.zeros(n * n, np.float32)
    covered[hit] = 1
    picture = _average(np.clip(light, 0, 1).reshape(n, n, 3) ** np.float32(1 / 2.2))
    picture += scene.rng.normal(0, _NOISE, picture.shape).astype(np.float32)
    mask = _average(covered.reshape(n, n, 1))[..., 0] >= 0.5
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8), mask


def intersect(scene: Scene, origin: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where rays first meet the object: distance [rays] (infinite: nowhere) and outward unit normal [rays, 3].

    `origin` is [3] or [rays, 3], `direction` unit vectors [rays, 3], in the world. A normal means nothing where its
    distance is infinite.
    """
    shape = {"cube": _meet_cube, "cylinder": _meet_cylinder, "sphere": _meet_sphere}[scene.shape]
    start = (origin - scene.centre) @ scene.rotation.T
    distance, normal = shape(start, direction @ scene.rotation.T, np.float32(scene.radius))
    return distance, normal @ scene.rotation


def _meet_sphere(start: np.ndarray, ray: np.ndarray, radius: np.float32) -> tuple[np.ndarray, np.ndarray]:
    middle = _dot(start, ray)
    discriminant = middle * middle - _dot(start, start) + radius * radius
    distance = -middle - np.sqrt(np.maximum(discriminant, 0))
    met = (discriminant > 0) & (distance > 0)
    point = start + ray * np.where(met, distance, 0)[:, None]
    return np.where(met, distance, np.inf), point / radius


def _meet_cube(start: np.ndarray, ray: np.ndarray, radius: np.float32) -> tuple[np.ndarray, np.ndarray]:
    # Slabs: the ray is inside the cube between the last entry and the first exit of its three pairs of planes.
    safe = np.where(np.abs(ray) < 1e-9, np.float32(1e-9), ray)
    toward = -np.sign(safe)
    entry, exits = (toward * radius - start) / safe, (-toward * radius - start) / safe
    distance = np.maximum(np.maximum(entry[:, 0], entry[:, 1]), entry[:, 2])
    leave = np.minimum(np.minimum(exits[:, 0], exits[:, 1]), exits[:, 2])
    axis = np.where(entry[:, 0] == distance, 0, np.where(entry[:, 1] == distance, 1, 2))
    met = (distance < leave) & (distance > 0)
    return np.where(met, distance, np.inf), np.eye(3, dtype=np.float32)[axis] * toward


def _meet_cylinder(start: np.ndarray, ray: np.ndarray, radius: np.float32) -> tuple[np.ndarray, np.ndarray]:
    # The axis is z, the half height the radius. A ray from outside enters by the side or by the cap it looks at.
    start = np.broadcast_to(start, ray.shape)
    a = _dot(ray[:, :2], ray[:, :2]) + np.float32(1e-12)
    b = _dot(start[:, :2], ray[:, :2])
    discriminant = b * b - a * (_dot(start[:, :2], start[:, :2]) - radius * radius)
    side = (-b - np.sqrt(np.maximum(discriminant, 0))) / a
    on_side = (discriminant > 0) & (side > 0) & (np.abs(start[:, 2] + side * ray[:, 2]) < radius)
    facing = np.where(ray[:, 2] < 0, np.float32(1), np.float32(-1))
    cap = (facing * radius - start[:, 2]) / np.where(np.abs(ray[:, 2]) < 1e-9, -facing * np.float32(1e-9), ray[:, 2])
    at_cap = start[:, :2] + cap[:, None] * ray[:, :2]
    on_cap = (cap > 0) & (_dot(at_cap, at_cap) < radius * radius)
    side, cap = np.where(on_side, side, np.inf), np.where(on_cap, cap, np.inf)
    distance = np.minimum(side, cap)
    point = start + ray * np.where(np.isfinite(distance), distance, 0)[:, None]
    is_side = (side <= cap)[:, None]
    normal = np.where(is_side, point / radius, 0)
    normal[:, 2] = np.where(is_side[:, 0], 0, facing)
    return distance, normal


def _camera_rays(scene: Scene, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return unit rays [n, n, 3] through an n x n image plane, and bool [n, n]: inside the object's bounding box."""
    forward = _unit(np.array([0, 0, 0.4], np.float32) - scene.eye)
    right = _unit(np.cross(forward, np.array([0, 0, 1], np.float32)))
    up = np.cross(right, forward)
    u = (((np.arange(n, dtype=np.float32) + 0.5) / n - 0.5) * _FIELD).astype(np.float32)
    rays = _unit(forward + u[None, :, None] * right - u[:, None, None] * up)
    corners = scene.corners() - scene.eye
    depth = corners @ forward
    across, down = corners @ right / depth, -(corners @ up) / depth
    in_box = np.zeros((n, n), bool)
    columns = (u >= across.min()) & (u <= across.max())
    in_box[np.ix_((u >= down.min()) & (u <= down.max()), columns)] = True
    return rays, in_box


def _floor_light(scene: Scene, rays: np.ndarray) -> np.ndarray:
    """Return the light [rays, 3] that comes from the floor, or the haze, along every camera ray."""
    descent = np.minimum(rays[:, 2], np.float32(-1e-6))
    distance = np.where(rays[:, 2] < -1e-6, np.minimum(-scene.eye[2] / descent, 60), 60).astype(np.float32)
    point = scene.eye + rays * distance[:, None]
    lit = _floor_visibility(scene, point)
    to_key, to_fill = _unit(scene.key_light - point), _unit(scene.fill_light - point)
    diffuse = 0.75 * lit * np.maximum(to_key[:, 2], 0) + 0.25 * np.maximum(to_fill[:, 2], 0) + _AMBIENT
    beside = np.hypot(point[:, 0] - scene.place[0], point[:, 1] - scene.place[1]) / scene.radius
    contact = 1 - 0.45 * np.exp(-3 * np.maximum(beside - 0.9, 0))
    light = diffuse * contact * _FLOOR
    haze = np.clip((distance - 9) / 30, 0, 1)
    light = light * (1 - haze) + _HAZE * haze
    return np.repeat(light[:, None], 3, axis=1).astype(np.float32)


def _floor_visibility(scene: Scene, point: np.ndarray) -> np.ndarray:
    """Return the share [points] of the key light that floor points see past the object (a soft shadow)."""
    cells = np.stack(np.meshgrid(np.arange(_LIGHT_GRID), np.arange(_LIGHT_GRID)), -1).reshape(-1, 2)
    offsets = ((cells + scene.rng.random(cells.shape)) / _LIGHT_GRID * 2 - 1) * _LIGHT_HALF_WIDTH
    lights = scene.key_light + np.pad(offsets, ((0, 0), (0, 1))).astype(np.float32)
    corners = scene.corners()
    # Each corner of the object's box, projected from each light sample onto the floor: the shadow lies among them.
    reach = (lights[:, None, 2] / (lights[:, None, 2] - corners[None, :, 2]))[..., None]
    shadow = (lights[:, None] + (corners - lights[:, None]) * reach)[..., :2].reshape(-1, 2)
    (low_x, low_y), (high_x, high_y) = shadow.min(0), shadow.max(0)
    x, y = point[:, 0], point[:, 1]
    candidates = np.flatnonzero((x >= low_x) & (x <= high_x) & (y >= low_y) & (y <= high_y))
    blocked = np.zeros(len(candidates), np.float32)
    for light in lights:
        blocked += np.isfinite(intersect(scene, point[candidates], _unit(light - point[candidates]))[0])
    visibility = np.ones(len(point), np.float32)
    visibility[candidates] -= blocked / len(lights)
    return visibility


def _object_light(scene: Scene, rays: np.ndarray, distance: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Return the light [rays, 3] that comes from points of the object: diffuse, shine, and for metal a reflection."""
    point = scene.eye + rays * distance[:, None]
    to_key, to_fill = _unit(scene.key_light - point), _unit(scene.fill_light - point)
    toward_key = np.maximum(_dot(normal, to_key), 0)
    diffuse = 0.75 * toward_key + 0.25 * np.maximum(_dot(normal, to_fill), 0) + _AMBIENT
    base = ((np.array(COLORS[scene.color]) / 255) ** 1.6).astype(np.float32)
    light = 1.5 * diffuse[:, None] * base
    if scene.metal:
        mirrored = rays[:, 2] - 2 * _dot(rays, normal) * normal[:, 2]
        sky = np.clip(0.35 + 0.5 * mirrored, 0.08, 1)
        light = 0.55 * light + 0.45 * sky[:, None] * (0.9 * base + 0.12)
    exponent, strength = (80, 0.9) if scene.metal else (12, 0.12)
    facing = np.maximum(_dot(normal, _unit(to_key - rays)), 0)
    shine = strength * facing**exponent * (toward_key > 0)
    return (light + shine[:, None]).astype(np.float32)


def _average(samples: np.ndarray) -> np.ndarray:
    """Average the supersamples of [n, n, channels] to pixels."""
    offsets = [(row, column) for row in range(_SUPERSAMPLES) for column in range(_SUPERSAMPLES)]
    total = sum(samples[row::_SUPERSAMPLES, column::_SUPERSAMPLES] for row, column in offsets)
    return np.asarray(total) / np.float32(len(offsets))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.sqrt(_dot(vectors, vectors))[..., None]


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # einsum: a sum over an axis of three is many times slower in NumPy.
    return np.einsum("...i,...i->...", a, b)
