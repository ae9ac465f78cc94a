"""Headers of a series without source: what the modules of a CT, MR or PET image require (PS3.3 A.3, A.4 and A.21)."""

from collections.abc import Callable

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage, PositronEmissionTomographyImageStorage, generate_uid
from pydicom.valuerep import DSfloat

from TumorSynthLib.dicom_export_headers import add_file_meta
from TumorSynthLib.dicom_export_marks import MANUFACTURER, PREFIX, Stamp, mark, mark_derived
from TumorSynthLib.dicom_export_options import DicomOptions
from TumorSynthLib.dicom_export_pixels import Storage
from TumorSynthLib.dicom_export_planes import Planes
from TumorSynthLib.dicom_export_result import ResultFolder
from TumorSynthLib.version import VERSION

_CLASSES = {"CT": CTImageStorage, "MR": MRImageStorage, "PT": PositronEmissionTomographyImageStorage}
_UNKNOWN: None = None
_CT_WINDOW, _LUNG_WINDOW, _SUV_WINDOW = (40.0, 400.0), (-600.0, 1500.0), (5.0, 10.0)
"""Center and width."""
_ID_DIGITS = 12


class PlainSeries:
    """Headers of the slices of one series.

    Parameters
    ----------
    result : the result.
    planes : its slices.
    modality : CT, MR or PT.
    storage : how values are stored.
    stamp, options : of the export.
    """

    def __init__(
        self, result: ResultFolder, planes: Planes, modality: str, storage: Storage, stamp: Stamp, options: DicomOptions
    ) -> None:
        self._planes, self._modality, self._storage, self._stamp = planes, modality, storage, stamp
        checksum = next(value for name, value in result.checksums.items() if name.startswith("image."))
        self._patient = options.patient_id or f"{PREFIX}{checksum[:_ID_DIGITS]}"
        self._window = _window(result, modality)

    def header(self, number: int) -> Dataset:
        """Header of one slice."""
        data = Dataset()
        data.SpecificCharacterSet = "ISO_IR 192"
        data.SOPClassUID, data.SOPInstanceUID = _CLASSES[self._modality], generate_uid(prefix=None)
        self._identity(data)
        self._place(data, number)
        self._pixels(data)
        _MODULES[self._modality](data, self._planes, number)
        mark(data, self._stamp)
        mark_derived(data, self._stamp, None)
        add_file_meta(data)
        return data

    def _identity(self, data: Dataset) -> None:
        stamp = self._stamp
        data.PatientName, data.PatientID = f"{PREFIX}TumorSynth^Result", self._patient
        data.PatientBirthDate = data.PatientSex = _UNKNOWN
        data.StudyInstanceUID, data.StudyID, data.StudyDescription = stamp.study_uid, "1", "[SYNTHETIC]"
        data.StudyDate = data.SeriesDate = stamp.time.strftime("%Y%m%d")
        data.StudyTime = data.SeriesTime = stamp.time.strftime("%H%M%S")
        data.ReferringPhysicianName = data.AccessionNumber = _UNKNOWN
        data.Modality, data.SeriesInstanceUID, data.SeriesNumber = self._modality, stamp.series_uid, stamp.series_number
        data.Laterality = _UNKNOWN
        data.FrameOfReferenceUID, data.PositionReferenceIndicator = stamp.frame_of_reference_uid, _UNKNOWN
        data.Manufacturer = data.ManufacturerModelName = MANUFACTURER
        data.SoftwareVersions = VERSION

    def _place(self, data: Dataset, number: int) -> None:
        across, down, through = self._planes.spacing
        affine = self._planes.affine
        directions = affine[:3, :2] / np.array([across, down])
        data.ImagePositionPatient = _decimals(affine[:3, 3] + number * affine[:3, 2])
        data.ImageOrientationPatient = _decimals(directions.T.ravel())
        data.PixelSpacing = _decimals(np.array([down, across]))
        data.SliceThickness = DSfloat(through, auto_format=True)
        data.InstanceNumber, data.AcquisitionNumber = number + 1, _UNKNOWN

    def _pixels(self, data: Dataset) -> None:
        storage = self._storage
        _, data.Rows, data.Columns = self._planes.size
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit = storage.bits, storage.used, storage.used - 1
        data.PixelRepresentation = int(storage.signed)
        if self._modality != "MR" or (storage.slope, storage.intercept) != (1.0, 0.0):
            data.RescaleSlope = DSfloat(storage.slope, auto_format=True)
            data.RescaleIntercept = DSfloat(storage.intercept, auto_format=True)
            data.RescaleType = {"CT": "HU", "MR": "US", "PT": "SUV"}[self._modality]
        data.WindowCenter, data.WindowWidth = _decimals(np.array(self._window))
        data.LossyImageCompression = "00"


def _decimals(numbers: np.ndarray) -> list[DSfloat]:
    """Decimal strings of at most 16 letters; none of them is -0."""
    return [DSfloat(float(number) + 0.0, auto_format=True) for number in numbers]


def _window(result: ResultFolder, modality: str) -> tuple[float, float]:
    """Center and width that a radiologist would start with."""
    if modality == "CT":
        return _LUNG_WINDOW if "lung" in str(result.request.get("domain")) else _CT_WINDOW
    if modality == "PT":
        return _SUV_WINDOW
    values = np.ravel(result.image.array, order="K")
    low, high = np.percentile(values[:: max(1, values.size // 500_000)], [1.0, 99.0])
    return float(low + high) / 2, max(float(high - low), 1.0)


def _ct(data: Dataset, planes: Planes, number: int) -> None:
    """CT Image module (C.8.2.1)."""
    data.ImageType, data.PatientPosition = ["DERIVED", "SECONDARY", "AXIAL"], _UNKNOWN
    data.KVP = _UNKNOWN


def _mr(data: Dataset, planes: Planes, number: int) -> None:
    """MR Image module (C.8.3.1). RM, research mode, stands where the sequence is not known."""
    data.ImageType, data.PatientPosition = ["DERIVED", "SECONDARY", "OTHER"], _UNKNOWN
    data.ScanningSequence, data.SequenceVariant = "RM", "NONE"
    data.ScanOptions = data.MRAcquisitionType = data.EchoTime = data.EchoTrainLength = data.RepetitionTime = _UNKNOWN
    data.SpacingBetweenSlices = DSfloat(planes.spacing[2], auto_format=True)


def _pt(data: Dataset, planes: Planes, number: int) -> None:
    """PET Series, Isotope, Image and Patient Orientation modules (C.8.9, C.8.4.6).

    These would call the image PRIMARY, a word that no edited image shall carry.
    """
    data.ImageType = ["DERIVED", "SECONDARY"]
    data.SeriesType, data.Units, data.SUVType = ["WHOLE BODY", "IMAGE"], "GML", "BW"
    data.CountsSource, data.DecayCorrection, data.CorrectedImage = "EMISSION", "NONE", _UNKNOWN
    data.CollimatorType, data.NumberOfSlices, data.ImageIndex = "NONE", planes.size[0], number + 1
    data.AcquisitionDate = data.AcquisitionTime = _UNKNOWN
    data.FrameReferenceTime = data.ActualFrameDuration = 0
    data.RadiopharmaceuticalInformationSequence = []
    data.PatientOrientationCodeSequence, data.PatientGantryRelationshipCodeSequence = [], []


_MODULES: dict[str, Callable[[Dataset, Planes, int], None]] = {"CT": _ct, "MR": _mr, "PT": _pt}
