"""KiTS23: ``case_00000/imaging.nii.gz`` and ``segmentation.nii.gz``, labels 1 kidney, 2 tumor, 3 cyst.

The repository carries the masks; the images come with its download command, so that many copies lack them.
"""

from pathlib import Path

from TumorSynthLib.train.readers.record import Listing, ReaderOptions, Record, Skipped

NAME = "kits23"
EXPECTED = "case_00000/imaging.nii.gz with segmentation.nii.gz"
LICENCE = "KiTS23 (Heller et al. 2023) is licensed CC BY-NC-SA 4.0."
KIDNEY, TUMOR, CYST = 1, 2, 3


def fits(folder: Path) -> bool:
    """Whether a folder, or ``dataset`` in it, holds KiTS23 cases."""
    return any(_cases(folder))


def read(folder: Path, options: ReaderOptions) -> Listing:
    """The cases of KiTS23."""
    records, skipped = [], []
    for case in _cases(folder):
        image, mask = case / "imaging.nii.gz", case / "segmentation.nii.gz"
        if not image.exists():
            skipped.append(Skipped(case.name, NAME, "imaging.nii.gz is missing; kits23_download_data fetches it."))
            continue
        if not mask.exists():
            skipped.append(Skipped(case.name, NAME, "No mask is published for it."))
            continue
        records.append(
            Record(
                id=case.name,
                patient=case.name,
                dataset=NAME,
                domain=options.domain or "abdomen-ct",
                image=image,
                mask=mask,
                tumor=(TUMOR,),
                other=(CYST,),
                organ=(KIDNEY,),
                shapes=(("kidney", (TUMOR,)), ("kidney-cyst", (CYST,))),
                licence=options.licence or LICENCE,
            )
        )
    return Listing(tuple(records), tuple(skipped))


def _cases(folder: Path) -> list[Path]:
    found = [path for place in (folder, folder / "dataset") for path in sorted(place.glob("case_[0-9]*"))]
    return [path for path in found if (path / "imaging.nii.gz").exists() or (path / "segmentation.nii.gz").exists()]
