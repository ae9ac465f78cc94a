"""HECKTOR: ``CHUM-001__CT.nii.gz`` and ``CHUM-001__PT.nii.gz`` (SUV), labels 1 GTVp and 2 GTVn on the CT's grid.

The masks lie in ``labelsTr`` (2022) or beside the images (2025). Both modalities become records; the tumor is the primary
(GTVp), the nodes are kept clear of. The official split is kept: cases in ``imagesTs`` are test cases.
"""

from pathlib import Path

from TumorSynthLib.train.readers.record import TEST, Listing, ReaderOptions, Record, Skipped, files_below

NAME = "hecktor"
EXPECTED = "imagesTr/CHUM-001__CT.nii.gz and __PT.nii.gz with labelsTr/CHUM-001.nii.gz"
LICENCE = "HECKTOR (Andrearczyk et al.) may be used under its challenge's end user agreement only: research, no redistribution."
PRIMARY, NODES = 1, 2
DOMAINS = {"CT": "soft-tissue-ct", "PT": "head-neck-pet"}
"""Domain by the last part of a file's name."""


def fits(folder: Path) -> bool:
    """Whether a folder holds HECKTOR cases, at most two folders down."""
    return any(any(folder.glob(f"{depth}__PT.nii.gz")) for depth in ("*", "*/*", "*/*/*"))


def read(folder: Path, options: ReaderOptions) -> Listing:
    """CT and PET of every case."""
    records, skipped = [], []
    for path in files_below(folder, tuple(f"__{part}.nii.gz".lower() for part in DOMAINS)):
        case, _, part = path.name.removesuffix(".nii.gz").rpartition("__")
        mask = _mask(path.parent, case)
        if mask is None:
            skipped.append(Skipped(f"{case}_{part}", NAME, "No mask is there for it (a test case, or another task's)."))
            continue
        records.append(
            Record(
                id=f"{case}_{part}",
                patient=case,
                dataset=NAME,
                domain=DOMAINS[part],
                image=path,
                mask=mask,
                tumor=(PRIMARY,),
                other=(NODES,),
                shapes=(("", (PRIMARY,)),),
                split=TEST if path.parent.name == "imagesTs" else "",
                licence=options.licence or LICENCE,
            )
        )
    return Listing(tuple(records), tuple(skipped))


def _mask(folder: Path, case: str) -> Path | None:
    """The mask of a case; the 2022 page spells the names of masks with an underscore."""
    places = [folder, folder.parent / folder.name.replace("images", "labels")]
    names = [f"{case}.nii.gz", f"{case.replace('-', '_', 1)}.nii.gz"]
    return next((place / name for place in places for name in names if (place / name).exists()), None)
