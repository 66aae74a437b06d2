"""COCO's 80 categories of things and their supercategories, in the published order of the label columns."""

from __future__ import annotations

from collections.abc import Sequence

THINGS: dict[str, tuple[str, ...]] = {
    "person": ("person",),
    "vehicle": ("bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    "outdoor": ("traffic light", "fire hydrant", "stop sign", "parking meter", "bench"),
    "animal": ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
    "accessory": ("backpack", "umbrella", "handbag", "tie", "suitcase"),
    "sports": (
        *("frisbee", "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard"),
        *("surfboard", "tennis racket"),
    ),
    "kitchen": ("bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl"),
    "food": (*("banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake"),),
    "furniture": ("chair", "couch", "potted plant", "bed", "dining table", "toilet"),
    "electronic": ("tv", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    "appliance": ("microwave", "oven", "toaster", "sink", "refrigerator"),
    "indoor": ("book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush"),
}
"""Supercategory -> categories; the categories in their official order."""

SUPERCATEGORIES = (
    *("vehicle", "appliance", "indoor", "kitchen", "furniture", "outdoor", "animal", "food", "electronic", "sports"),
    "accessory",
)
"""In the published order; the twelfth, person, is the category of that name."""

SUPERCATEGORY_OF = {name: group for group, names in THINGS.items() for name in names}


def ordered_labels(categories: Sequence[tuple[str, str | None]]) -> list[str]:
    """The label columns for categories (name, supercategory): their names in order, then the supercategories.

    Of those that the published data have, in the published order; others after them as they come.
    """
    names = list(dict.fromkeys(name for name, _ in categories))
    groups = {group for _, group in categories if group} - set(names)
    known = [group for group in SUPERCATEGORIES if group in groups]
    others = dict.fromkeys(group for _, group in categories if group in groups - set(known))
    return [*names, *known, *(str(group) for group in others)]
