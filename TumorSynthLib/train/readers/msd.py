"""Medical Segmentation Decathlon: ``dataset.json`` with ``imagesTr`` and ``labelsTr``.

What the labels mean stands in ``dataset.json``. The brain task's images hold four sequences each (4D), which become records of
their own. The images in ``imagesTs`` have no published masks.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from TumorSynthLib.errors import DataError
from TumorSynthLib.train.readers.record import Listing, ReaderOptions, Record, Skipped, stem

NAME = "msd"
EXPECTED = "dataset.json with imagesTr/ and labelsTr/ (Medical Segmentation Decathlon)"
LICENCE = "The Medical Segmentation Decathlon (Antonelli et al. 2022) is licensed CC BY-SA 4.0."
SEQUENCES = {"flair": "brain-flair", "t1w": "brain-t1", "t1gd": "brain-t1c", "t2w": "brain-t2"}
"""Domain by the name of a channel of the brain task."""
ORGANS = {
    "lung": "lung-ct",
    "liver": "abdomen-ct",
    "pancreas": "abdomen-ct",
    "hepatic": "abdomen-ct",
    "colon": "abdomen-ct",
    "kidney": "abdomen-ct",
    "kits": "abdomen-ct",
}
"""Domain by a word in the task's name or in its labels."""
_TUMOR = re.compile(r"tumou?r|cancer|lesion|edema|malignan|metasta", re.IGNORECASE)
_EDEMA = re.compile(r"edema", re.IGNORECASE)


def fits(folder: Path) -> bool:
    """Whether a folder holds a task of the decathlon (whose file names, unlike nnU-Net's, do not end in ``_0000``)."""
    file = folder / "dataset.json"
    return file.exists() and isinstance(_content(file).get("training"), list) and "modality" in _content(file)


def read(folder: Path, options: ReaderOptions) -> Listing:
    """The training cases of a task.

    Raises
    ------
    DataError : when no label is a tumor, or the domain cannot be told.
    """
    content = _content(folder / "dataset.json")
    labels = {int(number): str(name) for number, name in content.get("labels", {}).items() if int(number) > 0}
    tumor = options.labels or tuple(number for number, name in labels.items() if _TUMOR.search(name))
    if not tumor:
        found = ", ".join(f"{number} {name}" for number, name in labels.items()) or "none"
        raise DataError("data.labels", f"No label of {folder} is a tumor; found: {found}.", "Name one with --label.")
    domains = _domains(folder, content, labels, options)
    core = tuple(number for number in tumor if not _EDEMA.search(labels.get(number, "")))
    told = str(content.get("licence", "")).strip()
    values: dict[str, Any] = {
        "dataset": f"msd-{str(content.get('name', folder.name)).lower().replace(' ', '-')}",
        "tumor": tumor,
        "core": core if len(core) < len(tumor) else (),
        "organ": tuple(number for number in labels if number not in tumor),
        "shapes": _shapes(domains, tumor, core),
        "licence": options.licence or (f"{LICENCE[:-1]} (its dataset.json says {told})." if told else LICENCE),
    }
    records: list[Record] = []
    skipped = [
        Skipped(stem(Path(str(item))), values["dataset"], "No mask is published for it (imagesTs).")
        for item in content.get("test", [])
    ]
    for item in content["training"]:
        image, mask = folder / item["image"], folder / item["label"]
        missing = next((path.name for path in (image, mask) if not path.exists()), None)
        if missing:
            skipped.append(Skipped(stem(image), values["dataset"], f"{missing} is listed in dataset.json, but missing."))
            continue
        for channel, (name, domain) in enumerate(domains.items()):
            several = len(domains) > 1
            id_ = f"{stem(image)}_{name}" if several else stem(image)
            number = channel if several else None
            records.append(Record(id_, stem(image), domain=domain, image=image, mask=mask, channel=number, **values))
    return Listing(tuple(records), tuple(skipped))


def _content(file: Path) -> Mapping[str, Any]:
    """The content of a ``dataset.json``."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError("data.broken", f"{file} cannot be read as JSON: {error}", "Download it again.") from error
    return content if isinstance(content, dict) else {}


def _domains(folder: Path, content: Mapping[str, Any], labels: Mapping[int, str], options: ReaderOptions) -> dict[str, str]:
    """Domain of each channel, by the channel's name, in their order."""
    channels = {int(number): str(name).lower() for number, name in content["modality"].items()}
    names = [channels[number] for number in sorted(channels)]
    if all(name in SEQUENCES for name in names):
        return {name: SEQUENCES[name] for name in names}
    words = " ".join((folder.name, str(content.get("name", "")), *labels.values())).lower()
    found = options.domain or next((domain for word, domain in ORGANS.items() if word in words), "")
    if not found or len(names) > 1:
        message = f"The domain of {folder} cannot be told from its channels ({', '.join(names)}) and name."
        raise DataError("data.domain", message, "Name it with --domain, one channel a scan.")
    return {names[0]: found}


def _shapes(
    domains: Mapping[str, str], tumor: tuple[int, ...], core: tuple[int, ...]
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Shapes of a task with their organ tokens."""
    if all(domain.startswith("brain") for domain in domains.values()):
        return (("brain-whole", tumor), ("brain-core", core))
    return (("lung" if "lung-ct" in domains.values() else "", tumor),)
