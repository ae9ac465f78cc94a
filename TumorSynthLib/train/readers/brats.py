"""BraTS 2021 (``BraTS2021_00000/BraTS2021_00000_flair.nii.gz`` ... ``_seg.nii.gz``), and its kin of 2020 and 2023.

Labels: 1 necrotic core, 2 edema, 4 (since 2023: 3) enhancing tumor. The tumor is all of them, its core all but the edema. Each
of the four sequences is a record of its own with the same mask.
"""

import re
from collections import defaultdict
from pathlib import Path

from TumorSynthLib.train.readers.record import Listing, ReaderOptions, Record, Skipped, files_below

NAME = "brats"
EXPECTED = "BraTS2021_00000/BraTS2021_00000_{flair,t1,t1ce,t2,seg}.nii.gz"
LICENCE = "BraTS 2021 (Baid et al. 2021, RSNA-ASNR-MICCAI) is licensed CC BY 4.0."
DOMAINS = {
    "flair": "brain-flair",
    "t1": "brain-t1",
    "t1ce": "brain-t1c",
    "t2": "brain-t2",
    "t2f": "brain-flair",
    "t1n": "brain-t1",
    "t1c": "brain-t1c",
    "t2w": "brain-t2",
}
"""Domain by the last part of a file's name."""
NECROSIS, EDEMA, ENHANCING_2023, ENHANCING = 1, 2, 3, 4
CORE = (NECROSIS, ENHANCING_2023, ENHANCING)
_FILE = re.compile(r"(?P<case>brats.*?)[_-](?P<part>flair|t1ce|t1n|t1c|t1|t2f|t2w|t2|seg)\.nii(\.gz)?", re.IGNORECASE)
_TIMEPOINT = re.compile(r"(BraTS-[A-Z]+-\d+)-\d+", re.IGNORECASE)


def fits(folder: Path) -> bool:
    """Whether a folder holds BraTS cases, at most two folders down."""
    found = (path for depth in ("*", "*/*", "*/*/*") for path in folder.glob(f"{depth}.nii*"))
    return any(_FILE.fullmatch(path.name) for path in found)


def read(folder: Path, options: ReaderOptions) -> Listing:
    """The sequences of all BraTS cases."""
    cases: dict[tuple[Path, str], dict[str, Path]] = defaultdict(dict)
    for path in files_below(folder):
        match = _FILE.fullmatch(path.name)
        if match:
            cases[path.parent, match["case"]][match["part"].lower()] = path
    records: list[Record] = []
    skipped: list[Skipped] = []
    for (_, case), parts in cases.items():
        mask = parts.pop("seg", None)
        if mask is None:
            skipped += [Skipped(f"{case}_{part}", NAME, "No mask is published for it (validation case).") for part in parts]
            continue
        if not parts:
            skipped.append(Skipped(case, NAME, "It has a mask but no image."))
        records += [_record(case, part, path, mask, options) for part, path in parts.items()]
    return Listing(tuple(records), tuple(skipped))


def _record(case: str, part: str, image: Path, mask: Path, options: ReaderOptions) -> Record:
    timed = _TIMEPOINT.fullmatch(case)
    return Record(
        id=f"{case}_{part}",
        patient=timed[1] if timed else case,
        dataset=NAME,
        domain=DOMAINS[part],
        image=image,
        mask=mask,
        tumor=(NECROSIS, EDEMA, ENHANCING_2023, ENHANCING),
        core=CORE,
        shapes=(("brain-whole", (*CORE, EDEMA)), ("brain-core", CORE)),
        licence=options.licence or LICENCE,
    )
