"""FDG-PET-CT-Lesions (AutoPET) in its three forms.

- NIfTI: ``PETCT_0011f3deaf/<study>/{SUV,CTres,SEG}.nii.gz``;
- nnU-Net (AutoPET III): ``imagesTr/fdg_<patient>_<study>_0000.nii.gz`` (CT) and ``_0001.nii.gz`` (SUV) with ``labelsTr``; where
  ``splits_final.json`` is there, its first fold is taken for the official split;
- DICOM as TCIA gives it: ``PETCT_.../<study>/<series>/*.dcm``, PET in Bq/mL with a DICOM SEG.

The lesions were drawn on the PET, all over the body, and have no edge of their own on the CT: only the PET is a record. Studies
without lesions are kept as healthy. PSMA studies are left out, because no domain has that tracer.
"""

import json
import re
from pathlib import Path

from TumorSynthLib.errors import DataError
from TumorSynthLib.train.readers.dicom_tree import dicom_records, holds_dicom
from TumorSynthLib.train.readers.record import TEST, TRAIN, Listing, ReaderOptions, Record, Skipped, files_below

NAME = "autopet"
EXPECTED = "PETCT_*/<study>/SUV.nii.gz with SEG.nii.gz, or imagesTr/fdg_*_0001.nii.gz with labelsTr/"
LICENCE = "FDG-PET-CT-Lesions (Gatidis and Kuestner 2022) is licensed as its TCIA or FDAT record says; check the copy at hand."
DOMAIN = "soft-tissue-pet"
_CASE = re.compile(r"(?P<case>(?P<tracer>fdg|psma)_(?P<patient>[^_]+)_.+)_0001")


def fits(folder: Path) -> bool:
    """Whether a folder holds AutoPET studies."""
    if any(folder.glob("imagesTr/fdg_*_0001.nii.gz")) or any(folder.glob("imagesTr/psma_*_0001.nii.gz")):
        return True
    if any(any(folder.glob(f"{depth}/SUV.nii.gz")) for depth in ("*", "*/*", "*/*/*")):
        return True
    return any(holds_dicom(place) for depth in ("PETCT_*", "*/PETCT_*") for place in list(folder.glob(depth))[:1])


def read(folder: Path, options: ReaderOptions) -> Listing:
    """The PET images of all FDG studies."""
    if (folder / "imagesTr").is_dir():
        return _nnunet(folder, options)
    studies = [path for path in files_below(folder) if path.name == "SUV.nii.gz"]
    if not studies:
        return dicom_records(folder, NAME, {"PT": options.domain or DOMAIN}, ".*", "", options.licence or LICENCE)
    records, skipped = [], []
    for image in studies:
        patient, mask = image.parent.parent.name, image.parent / "SEG.nii.gz"
        id_ = f"{patient}_{image.parent.name}"
        if mask.exists():
            records.append(_record(id_, patient, image, mask, "", options))
        else:
            skipped.append(Skipped(id_, NAME, "SEG.nii.gz is missing."))
    return Listing(tuple(records), tuple(skipped))


def _nnunet(folder: Path, options: ReaderOptions) -> Listing:
    parts = official_parts(folder / "splits_final.json")
    records, skipped = [], []
    for image in files_below(folder / "imagesTr"):
        match = _CASE.fullmatch(image.name.removesuffix(".nii.gz"))
        if match is None:
            continue
        mask = folder / "labelsTr" / f"{match['case']}.nii.gz"
        if match["tracer"] == "psma":
            skipped.append(Skipped(match["case"], NAME, "Its tracer is PSMA, and no domain has that."))
        elif not mask.exists():
            skipped.append(Skipped(match["case"], NAME, f"labelsTr/{mask.name} is missing."))
        else:
            records.append(_record(match["case"], match["patient"], image, mask, parts.get(match["case"], ""), options))
    return Listing(tuple(records), tuple(skipped))


def _record(id_: str, patient: str, image: Path, mask: Path, split: str, options: ReaderOptions) -> Record:
    return Record(
        id=id_,
        patient=patient,
        dataset=NAME,
        domain=options.domain or DOMAIN,
        image=image,
        mask=mask,
        shapes=(("", (1,)),),
        split=split,
        licence=options.licence or LICENCE,
    )


def official_parts(file: Path) -> dict[str, str]:
    """Part of each case by the first fold of nnU-Net's ``splits_final.json``; empty where there is no such file."""
    if not file.exists():
        return {}
    try:
        fold = json.loads(file.read_text(encoding="utf-8"))[0]
        return dict.fromkeys(fold["train"], TRAIN) | dict.fromkeys(fold["val"], TEST)
    except (ValueError, LookupError, TypeError) as error:
        message = f"{file} is no list of folds with 'train' and 'val': {error}."
        raise DataError("data.broken", message, "Download it again, or remove it.") from error
