"""Any folder of image and mask pairs, by one of several habits of naming, or a CSV list.

- a list ``pairs.csv`` (or the path of a list): columns ``image`` and ``mask`` (empty: healthy), and, where wanted, ``id``,
  ``patient``, ``split``, ``domain``, ``label`` (several with spaces), ``licence``; paths are relative to the list;
- ``images*/x.nii.gz`` (or nnU-Net's ``x_0000.nii.gz``) with ``labels*/x.nii.gz`` (also ``masks``, ``segmentations``);
- ``x.nii.gz`` with ``x_mask.nii.gz`` (also ``_seg``, ``_label``, ``_segmentation``, ``_tumor``, with ``-``, or ``x.seg.nrrd``);
- a folder for each patient with one image and one mask, the latter called ``mask``, ``seg``, ``segmentation``, ``label`` or
  ``tumor``.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from TumorSynthLib.errors import DataError
from TumorSynthLib.scan_list import SUFFIXES, stem_of
from TumorSynthLib.train.readers.record import TEST, Listing, ReaderOptions, Record, Skipped, domain_named, files_below

NAME = "pairs"
EXPECTED = (
    "pairs.csv (image,mask,patient,...), images/x with labels/x, x with x_mask, or a folder per patient with image and mask"
)
LICENCE = "The licence of the data was not stated."
_LISTS = ("pairs.csv", "list.csv", "dataset.csv")
_WORDS = r"mask|seg|segmentation|label|labels|tumou?r|gtv|roi"
_MASK = re.compile(rf"(?P<image>.+?)(?:[._-](?:{_WORDS}))+", re.IGNORECASE)
_ALONE = re.compile(rf"(?:{_WORDS})", re.IGNORECASE)
_IMAGES, _MASKS = re.compile(r"images?(tr|ts)?", re.IGNORECASE), ("labels", "masks", "segmentations", "label", "mask")
_COLUMNS = ("image", "mask", "id", "patient", "split", "domain", "label", "licence")

_Pair = dict[str, str | Path]


def fits(folder: Path) -> bool:
    """Whether a path is a list, or a folder with pairs."""
    return folder.suffix.lower() == ".csv" or any(True for _ in _pairs(folder))


def read(folder: Path, options: ReaderOptions) -> Listing:
    """The pairs of a folder or list.

    Raises
    ------
    DataError : when a list cannot be used, or no domain is given.
    """
    records, skipped = [], []
    base = folder.parent if folder.is_file() else folder
    for pair in _pairs(folder):
        image = Path(pair["image"])
        name = str(pair.get("id") or _name(image, base))
        mask = Path(pair["mask"]) if pair.get("mask") else None
        missing = next((path for path in (image, mask) if path is not None and not path.exists()), None)
        if missing is not None:
            skipped.append(Skipped(name, NAME, f"{missing.name} does not exist."))
            continue
        labels = tuple(int(label) for label in str(pair.get("label") or "").split()) or options.labels or (1,)
        domain = domain_named(str(pair.get("domain") or options.domain or _no_domain(folder)))
        records.append(
            Record(
                id=name,
                patient=str(pair.get("patient") or _patient(image, base, options.patient)),
                dataset=base.resolve().name or NAME,
                domain=domain.id,
                image=image,
                mask=mask,
                tumor=labels,
                roi=options.roi or ".*",
                shapes=(("", labels),),
                split=str(pair.get("split") or (TEST if image.parent.name == "imagesTs" else "")),
                licence=str(pair.get("licence") or options.licence or LICENCE),
            )
        )
    return Listing(tuple(records), tuple(skipped))


def _no_domain(folder: Path) -> str:
    raise DataError("data.domain", f"The files in {folder} do not tell which domain they belong to.", "Name it with --domain.")


def _pairs(folder: Path) -> Iterator[_Pair]:
    """Image, mask and whatever a list tells more, by the first habit that finds any."""
    listing = folder if folder.is_file() else next((folder / name for name in _LISTS if (folder / name).exists()), None)
    if listing is not None:
        yield from _listed(listing)
        return
    for habit in (_two_folders, _side_by_side):
        found = list(habit(folder))
        if found:
            yield from found
            return


def _listed(path: Path) -> Iterator[_Pair]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        columns = [name.strip().lower() for name in reader.fieldnames or []]
        if "image" not in columns or not set(columns) <= set(_COLUMNS):
            message = f"{path} has the columns {', '.join(columns) or 'none'}, expected image, mask and any of the others of "
            raise DataError("data.list", f"{message}{', '.join(_COLUMNS)}.", "Write them into the first line.")
        reader.fieldnames = columns
        for row in reader:
            values: Mapping[str, str] = {key: (value or "").strip() for key, value in row.items()}
            places = {key: path.parent / values[key] for key in ("image", "mask") if values.get(key)}
            yield {**values, **places}


def _two_folders(folder: Path) -> Iterator[_Pair]:
    """Images in one folder and masks of the same names in another."""
    for place in sorted(item for item in folder.iterdir() if item.is_dir() and _IMAGES.fullmatch(item.name)):
        ending = _IMAGES.fullmatch(place.name)[1] or ""  # type: ignore[index]
        targets = [folder / f"{name}{ending}" for name in _MASKS]
        masks = {_plain(path): path for target in targets if target.is_dir() for path in files_below(target, SUFFIXES)}
        for image in files_below(place, SUFFIXES):
            key = _plain(image).removesuffix("_0000")
            if key in masks:
                yield {"image": image, "mask": masks[key]}


def _plain(path: Path) -> str:
    """A file's name without endings and without a word for mask."""
    name = stem_of(path.name)
    match = _MASK.fullmatch(name)
    return match["image"] if match else name


def _side_by_side(folder: Path) -> Iterator[_Pair]:
    """Masks beside their images, told by their names."""
    by_folder: dict[Path, list[Path]] = {}
    for path in files_below(folder, SUFFIXES):
        by_folder.setdefault(path.parent, []).append(path)
    for paths in by_folder.values():
        names = {stem_of(path.name): path for path in paths}
        alone = [name for name in names if _ALONE.fullmatch(name)]
        others = [name for name in names if not _ALONE.fullmatch(name) and _plain(names[name]) == name]
        if len(alone) == 1 and len(others) == 1:
            yield {"image": names[others[0]], "mask": names[alone[0]]}
            continue
        for name in others:
            mask = next((path for key, path in names.items() if key != name and _plain(path) == name), None)
            if mask is not None:
                yield {"image": names[name], "mask": mask}


def _name(image: Path, base: Path) -> str:
    inside = image.relative_to(base) if image.is_relative_to(base) else Path(image.name)
    parts = [part for part in inside.parent.parts if not _IMAGES.fullmatch(part)]
    return "_".join((*parts, stem_of(image.name)))


def _patient(image: Path, base: Path, pattern: str) -> str:
    """Whose a scan is: by the pattern, else by the folder of its own, else by its name.

    Raises
    ------
    DataError : when the pattern finds nothing.
    """
    inside = image.relative_to(base) if image.is_relative_to(base) else Path(image.name)
    if pattern:
        match = re.search(pattern, inside.as_posix())
        if match is None or not match.groups() or not match[1]:
            message = f"The pattern {pattern!r} finds no patient in '{inside.as_posix()}'."
            raise DataError("data.patient", message, "Give a regular expression with one group that matches every path.")
        return match[1]
    parts = [part for part in inside.parent.parts if not _IMAGES.fullmatch(part)]
    return parts[0] if parts else stem_of(image.name).removesuffix("_0000")
