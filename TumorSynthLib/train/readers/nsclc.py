"""NSCLC-Radiomics (LUNG1) as TCIA gives it: CT series with an RTSTRUCT and a DICOM SEG per study.

``LUNG1-001/09-18-2008-StudyID-NA-69331/0.000000-NA-82046/1-001.dcm`` ... The tumor is GTV-1, called ``Neoplasm, Primary``
in the DICOM SEG; further GTVs are nodes. Names in the RTSTRUCT vary in spelling.
"""

from pathlib import Path

from TumorSynthLib.train.readers.dicom_tree import dicom_records, holds_dicom
from TumorSynthLib.train.readers.record import Listing, ReaderOptions

NAME = "nsclc-radiomics"
EXPECTED = "LUNG1-001/<study>/<series>/*.dcm, CT with RTSTRUCT or SEG"
LICENCE = "NSCLC-Radiomics (Aerts et al. 2014, TCIA) is licensed CC BY-NC 3.0."
PRIMARY = r"gtv[ _-]?0*1|gtv|gtv[ _-]?p.*|neoplasm, primary|neoplasm"
"""Names of the primary tumor."""
NODES = r"gtv.*|neoplasm.*|.*lymph.*"
"""Names of further lesions (those above excepted)."""


def fits(folder: Path) -> bool:
    """Whether a folder, or one below it, holds LUNG1 patients as DICOM."""
    found = [path for depth in ("LUNG1-*", "*/LUNG1-*", "*/*/LUNG1-*") for path in list(folder.glob(depth))[:1]]
    return any(holds_dicom(path) for path in found)


def read(folder: Path, options: ReaderOptions) -> Listing:
    """The CT series with their GTV-1."""
    roi, domain = options.roi or PRIMARY, options.domain or "lung-ct"
    return dicom_records(folder, NAME, {"CT": domain}, roi, NODES, options.licence or LICENCE, "lung")
