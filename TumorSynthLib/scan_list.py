"""Which scans there are, and which masks belong to each: from files, folders, patterns and lists (standard library only)."""

import csv
import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from TumorSynthLib.errors import RequestError

SUFFIXES = (".nii.gz", ".nrrd", ".nii", ".mha", ".mhd")
"""Endings of files that are read as scans."""
_LISTS = (".csv", ".tsv", ".txt")
_COLUMNS = ("image", "region", "avoid")
_NO_SCANS = ("_mask", "_seg", ".seg", "_label", "_labels")
"""Endings, before the suffix, of files in folders that are taken for masks."""


@dataclass(frozen=True)
class ScanEntry:
    """A scan and its masks, by paths as they were given."""

    image: str
    """The scan."""
    region: str | None = None
    """Where tumors may go; None: anywhere in suitable tissue."""
    avoid: tuple[str, ...] = ()
    """Masks that tumors keep clear of; a file that is not there counts as empty."""
    name: str = ""
    """What the scan is called in ids and folders; no two scans share one."""


def list_scans(scans: Sequence[str], region: str | None = None, avoid: Sequence[str] = ()) -> list[ScanEntry]:
    """The scans of a plan, in order, each once.

    Parameters
    ----------
    scans : image files, DICOM folders, folders that are searched for images, patterns with ``*``, and lists: a text file with a
        path per line, or a table with the columns ``image`` and, where wanted, ``region`` and ``avoid``.
    region : the region's mask of every scan whose list names none; ``{stem}`` stands for the scan's file name without its
        ending, ``{parent}`` for its folder.
    avoid : masks to keep clear of, in the same way.

    Raises
    ------
    RequestError : ``plan.scans`` where there are none or a file does not exist, ``plan.list`` for a table that cannot be used,
        ``plan.pattern`` for an unknown ``{name}``, or where one mask would have to do for several scans.
    """
    masks = [pattern for pattern in (region, *avoid) if pattern is not None]
    rows = [row for text in scans for row in _expanded(text, masks)]
    if not rows:
        message = f"No scan was found in {', '.join(scans) or 'nothing'}."
        raise RequestError("plan.scans", message, f"Scans end in {', '.join(SUFFIXES)}, or are folders of DICOM slices.")
    entries = []
    for row in dict.fromkeys(rows):
        own_region = row.region or (None if region is None else fill_in(region, row.image))
        entries.append(replace(row, region=own_region, avoid=row.avoid or tuple(fill_in(one, row.image) for one in avoid)))
    entries = list(dict.fromkeys(entries))
    _refuse_shared(region, [row for row in rows if row.region is None])
    _refuse_missing(avoid, [row for row in rows if not row.avoid])
    return [replace(entry, name=name) for entry, name in zip(entries, _names([entry.image for entry in entries]), strict=True)]


def stem_of(image: str) -> str:
    """The name of a scan without its folder and its ending.

    >>> stem_of("data/case.1/ct.nii.gz")
    'ct'
    """
    name = PurePath(image).name
    ending = _ending(name)
    return name[: len(name) - len(ending)] if len(ending) < len(name) else name


def fill_in(pattern: str, image: str) -> str:
    """A pattern's path for one scan.

    >>> fill_in("{parent}/{stem}_organ.nrrd", "data/a.nii.gz")
    'data/a_organ.nrrd'

    Raises
    ------
    RequestError : ``plan.pattern`` for a name other than ``stem`` and ``parent``.
    """
    unknown = [name for name in re.findall(r"\{(\w*)\}", pattern) if name not in ("stem", "parent")]
    if unknown:
        message = f"The pattern {pattern!r} holds '{{{unknown[0]}}}', which is unknown."
        raise RequestError("plan.pattern", message, "Use {stem} and {parent}.")
    parts = {"{stem}": stem_of(image), "{parent}": str(PurePath(image).parent)}
    return re.sub(r"\{stem\}|\{parent\}", lambda match: parts[match[0]], pattern)


def _ending(name: str) -> str:
    return next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")


def _expanded(text: str, masks: Sequence[str]) -> Iterator[ScanEntry]:
    """What one value of ``--scans`` stands for."""
    path = Path(text)
    if path.is_file() and path.suffix.lower() in _LISTS:
        yield from _listed(path)
    elif path.is_dir():
        yield from (ScanEntry(image) for image in _without_masks(_found_in(text), masks))
    elif path.exists():
        yield ScanEntry(text)
    elif glob.has_magic(text):
        found = [image for image in sorted(glob.glob(text, recursive=True)) if _ending(image)]
        yield from (ScanEntry(image) for image in _without_masks(found, masks))
    else:
        raise RequestError("plan.scans", f"'{text}' does not exist.", "Give a scan, a folder, or a list of scans.")


def _found_in(folder: str) -> list[str]:
    """Images below a folder; a folder of DICOM slices is one image."""
    found: list[str] = []
    others = False
    for place, folders, files in os.walk(folder):
        folders.sort()
        if any(name.lower().endswith(".dcm") for name in files):
            found.append(place)
        else:
            found += sorted(os.path.join(place, name) for name in files if _ending(name))
            others = others or bool(files)
    # Where nothing ends like an image, the files may be DICOM slices without an ending.
    return found or ([folder] if others else [])


def _without_masks(images: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Images that are not the mask of another one, by their own name or by a pattern of masks."""
    masks = {os.path.normpath(fill_in(pattern, image)) for image in images for pattern in patterns}
    names = [re.escape(PurePath(pattern).name).replace(r"\{stem\}", ".+") for pattern in patterns if _tells(pattern)]
    fitting = re.compile("|".join(names)) if names else None

    def is_mask(image: str) -> bool:
        name = PurePath(image).name
        named = stem_of(image).lower().endswith(_NO_SCANS) or (fitting is not None and fitting.fullmatch(name) is not None)
        return named or os.path.normpath(image) in masks

    return [image for image in images if not is_mask(image)]


def _tells(pattern: str) -> bool:
    """Whether a pattern's file names differ from those of the scans, and not its folder alone."""
    return stem_of(pattern) != "{stem}"


def _listed(path: Path) -> Iterator[ScanEntry]:
    """The rows of a list; lines that are empty or start with ``#`` do not count."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError("plan.list", f"{path} cannot be read: {error}.", "Save it as UTF-8 text.") from error
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    delimiter = "\t" if lines and "\t" in lines[0] else ","
    names = [name.strip() for name in lines[0].split(delimiter)] if lines else []
    if "image" not in names:
        if path.suffix.lower() != ".txt":
            message = f"{path} has the columns {', '.join(names) or 'none'}, expected {', '.join(_COLUMNS)}."
            raise RequestError("plan.list", message, "Write 'image,region,avoid' into the first line.")
        yield from (ScanEntry(line.strip()) for line in lines)
        return
    for row in csv.DictReader(lines[1:], fieldnames=names, delimiter=delimiter):
        values = {name: (row.get(name) or "").strip() for name in _COLUMNS}
        if not values["image"]:
            raise RequestError("plan.list", f"{path} has a row without image.", "Fill it in, or remove the row.")
        yield ScanEntry(values["image"], values["region"] or None, (values["avoid"],) if values["avoid"] else ())


def _refuse_shared(region: str | None, rows: Sequence[ScanEntry]) -> None:
    if region is not None and fill_in(region, "") == region and len({row.image for row in rows}) > 1:
        message = f"The region '{region}' is one mask for {len({row.image for row in rows})} scans."
        raise RequestError("plan.pattern", message, "Put {stem} where the names of the scans differ.")


def _refuse_missing(avoid: Sequence[str], rows: Sequence[ScanEntry]) -> None:
    """Some scans have no mask to avoid; where none has, the pattern is wrong."""
    for pattern in avoid:
        if rows and not any(os.path.exists(fill_in(pattern, row.image)) for row in rows):
            message = (
                f"No scan has a mask '{pattern}' to keep clear of; the first would be '{fill_in(pattern, rows[0].image)}'."
            )
            raise RequestError(
                "plan.pattern", message, "Check the pattern; {stem} and {parent} stand for a scan's name and folder."
            )


def _names(images: Sequence[str]) -> list[str]:
    """A name for each scan: its stem, with as many of its folders in front as tell it from the others, or a number behind."""
    paths = [_parts(image) for image in images]
    depth = dict.fromkeys(paths, 1)
    while True:
        names = {parts: "_".join(parts[-n:]) for parts, n in depth.items()}
        counts = Counter(name.lower() for name in names.values())
        longer = [parts for parts, name in names.items() if counts[name.lower()] > 1 and depth[parts] < len(parts)]
        if not longer:
            break
        for parts in longer:
            depth[parts] += 1
    result: list[str] = []
    taken: set[str] = set()
    for name in (re.sub(r"[^\w.-]+", "-", names[parts]).lstrip(".-") or "scan" for parts in paths):
        number, unique = 1, name
        while unique.lower() in taken:
            number += 1
            unique = f"{name}-{number}"
        taken.add(unique.lower())
        result.append(unique)
    return result


def _parts(image: str) -> tuple[str, ...]:
    """Folders and stem of a scan, without what tells nothing."""
    path = PurePath(image)
    return (*(part for part in path.parts[:-1] if part not in (path.anchor, "..", ".")), stem_of(image))
