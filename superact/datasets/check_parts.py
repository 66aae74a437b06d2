"""The part of a check that reads the files: texts and their word lists, images, masks and padding files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from superact.datasets.base import Dataset
from superact.datasets.padding import check_padding, padding_files
from superact.datasets.paths import Roots
from superact.datasets.progress import progress_bar
from superact.datasets.reading import read_text
from superact.datasets.wordfile import WordFile, find_label_file, read_paragraph_file, read_word_file
from superact.datasets.words import word_spans
from superact.errors import BadInput

Result = Literal["ok", "note", "warning", "missing", "wrong"]
NAMED = 3
"""How many of a long list a message names."""


@dataclass(frozen=True)
class Finding:
    """One line of a check: what was looked at, how it came out, and what was found."""

    check: str
    result: Result
    detail: str


def counted(n: int, noun: str) -> str:
    """A number of things: `1 row`, `1,734 rows`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def shortened(message: str, root: Path) -> str:
    """A message with paths from the dataset's folder, so that lines fit a terminal."""
    return message.replace(f"{root}/", "")


def check_texts(root: Path, paths: pl.Series, text_root: Path | None, progress: bool | None) -> Iterable[Finding]:
    """Every text is readable and has the words of its list; the label tables are valid."""
    found: list[Finding] = []
    words: WordFile | None = None
    try:
        word_path, paragraph_path = find_label_file(root, "word_level"), find_label_file(root, "paragraph_level")
        words = None if word_path is None else read_word_file(word_path, len(paths))
        if paragraph_path is not None:
            read_paragraph_file(paragraph_path, len(paths))
    except BadInput as error:
        found.append(Finding("label files", "wrong", shortened(str(error), root)))
    roots = Roots(root, None if text_root is None else text_root.absolute())
    listed: dict[int, list[str]] = {}
    if words is not None:
        for (sample,), group in words.words.group_by("sample", maintain_order=True):
            listed[int(sample)] = group["text"].to_list()
    unreadable: list[str] = []
    differ, n_words, n_read = [], 0, 0
    with progress_bar("Reading texts", len(paths), progress) as advance:
        for sample, written in enumerate(paths.fill_null("")):
            advance(1)
            text = _text(root, roots, written, sample, unreadable)
            if text is None:
                continue
            n_read += 1
            spans = [text[start:end] for start, end in word_spans(text)]
            n_words += len(spans)
            if sample in listed and listed[sample] != spans:
                differ.append(_difference(sample, listed[sample], spans))
    if unreadable:
        found.append(Finding("texts", "wrong", f"{len(unreadable):,} cannot be read: {'; '.join(unreadable[:NAMED])}"))
    elif n_read:
        found.append(Finding("texts", "ok", f"{counted(n_read, 'text')} of {counted(n_words, 'word')}"))
    if words is not None:
        found += _alignment(words, listed, differ, n_read)
    return found


def _text(root: Path, roots: Roots, written: str, sample: int, unreadable: list[str]) -> str | None:
    """The text of a row, or None where it is missing (which is said elsewhere) or cannot be read."""
    try:
        path = roots.locate(written)[1]
        return read_text(path, sample, root / "metadata.csv") if path.is_file() else None
    except ValueError:
        return None
    except BadInput as error:
        unreadable.append(f"{written}: {error.fields['reason']}")
        return None


def _difference(sample: int, listed: list[str], found: list[str]) -> str:
    at = next((k for k, (a, b) in enumerate(zip(listed, found, strict=False)) if a != b), min(len(listed), len(found)))
    words = [repr(words[at]) if at < len(words) else "the end" for words in (listed, found)]
    return f"paragraph {sample + 1} has {words[0]} in the list and {words[1]} in the text at word {at + 1}"


def _alignment(words: WordFile, listed: dict[int, list[str]], differ: list[str], n_read: int) -> Iterable[Finding]:
    if differ:
        verb = "differs from its text" if len(differ) == 1 else "differ from their texts"
        detail = f"{len(differ):,} of {counted(len(listed), 'word list')} {verb}: {'; '.join(differ[:NAMED])}"
        yield Finding("words", "wrong", detail)
    elif n_read:
        detail = f"the words of {counted(len(listed), 'text')}, in {words.path.name}, are those of the texts"
        yield Finding("words", "ok", f"{detail}; {counted(words.positives.height, 'word label')}")
    else:
        detail = f"{words.path.name} has {counted(len(listed), 'text')}, and no text is there to compare"
        yield Finding("words", "note", detail)


def check_word_labels(dataset: Dataset) -> Iterable[Finding]:
    """Labels of word files that a text carries and none of its words does, as when a word file was cut off."""
    if dataset.word_positives is None:
        return
    worded = {label.name for label in dataset.labels if label.source == "word file"}
    carried = dataset.sample_labels.filter(pl.col("label").is_in(list(worded)))
    absent = Counter(carried.join(dataset.word_positives, on=["sample", "label"], how="anti")["label"].to_list())
    if absent:
        detail = f"{_carried(absent, 'text')} no word, so no token of theirs is positive: {_most(absent)}"
        yield Finding("words", "warning", detail)


def _carried(counts: Counter[str], owner: str) -> str:
    n = counts.total()
    return f"{counted(n, 'label')} that a {owner} carries {'has' if n == 1 else 'have'}"


def _most(counts: Counter[str]) -> str:
    """The labels that are most often concerned, with their numbers."""
    listed = ", ".join(f"{label} {n:,}" for label, n in counts.most_common(NAMED))
    rest = len(counts) - NAMED
    return listed + (f" and {counted(rest, 'other label')}" if rest > 0 else "")


def check_images(dataset: Dataset, progress: bool | None) -> Iterable[Finding]:
    """Every image opens, masks have its shape, labels that a row carries have a pixel; padding files fit."""
    sizes: dict[int, tuple[int, int]] = {}
    broken, wrong, absent, empty = [], [], Counter[str](), Counter[str]()
    n_masks, source = 0, dataset.mask_source
    carried: dict[int, list[str]] = {}
    for sample, label in dataset.sample_labels.iter_rows():
        carried.setdefault(sample, []).append(label)
    with progress_bar("Reading images and masks", dataset.samples.height, progress) as advance:
        for sample in range(dataset.samples.height):
            advance(1)
            try:
                with dataset.open_image(sample) as image:
                    sizes[sample] = image.size
            except BadInput as error:
                broken.append(_reason(dataset, error))
                continue
            if source is None:
                continue
            try:
                masks = dataset.masks(sample)
            except BadInput as error:
                wrong.append(_reason(dataset, error))
                # Without a row it is the file of all masks, which would be read and fail for every image; a source without
                # files (a plug-in) is asked for each by itself.
                if "row" not in error.fields and source.files():
                    source = None
                continue
            n_masks += len(masks)
            absent.update(label for label in carried.get(sample, ()) if label not in masks)
            empty.update(label for label, mask in masks.items() if not mask.any())
    yield _images_found(dataset, sizes, broken)
    if dataset.mask_source is not None and source is None:
        yield Finding("masks", "wrong", wrong[-1])
    elif source is not None:
        yield from _masks_found(n_masks, wrong, absent, empty)
    yield from _padding_found(dataset, sizes)


def _images_found(dataset: Dataset, sizes: dict[int, tuple[int, int]], broken: list[str]) -> Finding:
    if broken:
        return Finding("images", "wrong", f"{len(broken):,} cannot be read: {'; '.join(broken[:NAMED])}")
    different = Counter(sizes.values())
    (width, height), _ = different.most_common(1)[0]
    others = "" if len(different) == 1 else f" and {counted(len(different) - 1, 'other size')}"
    opens = "opens" if len(sizes) == 1 else "open"
    return Finding("images", "ok", f"{counted(len(sizes), 'image')} {opens}, of {width} x {height} pixels{others}")


def _masks_found(n: int, wrong: list[str], absent: Counter[str], empty: Counter[str]) -> Iterable[Finding]:
    if wrong:
        yield Finding("masks", "wrong", f"of {counted(len(wrong), 'image')}: {'; '.join(wrong[:NAMED])}")
    for counts, what in ((absent, "no mask"), (empty, "a mask without a pixel")):
        if counts:
            detail = f"{_carried(counts, 'row')} {what}, so no patch of theirs is positive: {_most(counts)}"
            yield Finding("masks", "warning", detail)
    if not wrong and not absent and not empty:
        yield Finding("masks", "ok", f"{counted(n, 'mask')} of the shape of the image, each with a pixel")


def _padding_found(dataset: Dataset, sizes: dict[int, tuple[int, int]]) -> Iterable[Finding]:
    files = padding_files(dataset)
    if not files:
        yield Finding("padding", "note", "no padding file; padding is derived from the image sizes")
        return
    if len(sizes) < dataset.samples.height:
        yield Finding("padding", "note", "not compared, as some images cannot be read")
        return
    try:
        agreed = check_padding(dataset, sizes=sizes)
    except BadInput as error:
        yield Finding("padding", "wrong", shortened(str(error), dataset.root))
    else:
        yield Finding("padding", "ok", f"{', '.join(path.name for path in agreed)}: as the image sizes give it")


def _reason(dataset: Dataset, error: BadInput) -> str:
    """What is wrong with one file, shortly."""
    row, problem = error.fields.get("row"), error.fields.get("reason") or error.fields.get("problem")
    text = str(error) if row is None or problem is None else f"row {row}: {problem}"
    return shortened(text, dataset.root)
