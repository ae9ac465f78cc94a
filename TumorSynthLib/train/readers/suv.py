"""PET units to SUV by body weight.

    SUV = activity concentration (Bq/mL) * body weight (g) / injected dose (Bq) at the time that the activity refers to

The decay of the dose up to there is 2^(-t / half life): t runs from the injection to the start of the scan where images are
corrected to the start (``DecayCorrection`` START), and is zero where they are corrected to the injection (ADMIN). The start of
the scan is the time of the series, unless an acquisition began before it. After QIBA's vendor-neutral definition.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from TumorSynthLib.errors import ImageError
from TumorSynthLib.train.readers.headers import dicom_errors, read_header, text

_DAY = 86_400.0
_LONGEST_WAIT = 8 * 3600.0
"""More seconds than lie between injection and scan; more means that times are wrong."""
_PHILIPS_SUV, _PHILIPS_ACTIVITY = (0x7053, 0x1000), (0x7053, 0x1009)


def suv_factor(folder: Path) -> float:
    """What the rescaled values of a PET series are multiplied with to become SUV.

    Parameters
    ----------
    folder : of the series.

    Raises
    ------
    ImageError : ``image.suv`` when units or corrections are of another kind, or when weight, dose or times are missing.
    """
    files = sorted(item for item in folder.iterdir() if item.is_file() and not item.name.startswith("."))
    headers = [read_header(file) for file in files]
    with dicom_errors(folder):
        return factor_of(headers, folder)


def factor_of(headers: Sequence[Any], folder: Path) -> float:
    """As ``suv_factor``, of the headers of all slices."""
    data = headers[0]
    units = text(data, "Units")
    if units == "GML":
        kind = text(data, "SUVType") or "BW"
        if kind != "BW":
            raise _not_suv(folder, f"are SUV by {kind}, expected body weight")
        return 1.0
    if units == "CNTS":
        return _philips(headers, folder)
    if units != "BQML":
        raise _not_suv(folder, f"have the units {units or 'none'}, expected BQML, GML or CNTS")
    return _per_activity(headers, folder)


def _philips(headers: Sequence[Any], folder: Path) -> float:
    """Counts with Philips' own factors to SUV, or to activity."""
    data = headers[0]
    direct = float(data[_PHILIPS_SUV].value) if _PHILIPS_SUV in data else 0.0
    if direct > 0.0:
        return direct
    activity = float(data[_PHILIPS_ACTIVITY].value) if _PHILIPS_ACTIVITY in data else 0.0
    if activity > 0.0:
        return activity * _per_activity(headers, folder)
    raise _not_suv(folder, "are counts without a factor to activity")


def _per_activity(headers: Sequence[Any], folder: Path) -> float:
    """SUV per Bq/mL."""
    data = headers[0]
    told = getattr(data, "CorrectedImage", None) or []
    corrected = {str(name).upper() for name in ([told] if isinstance(told, str) else told)}
    if not {"ATTN", "DECY"} <= corrected and not {"ATTN", "DECAY"} <= corrected:
        raise _not_suv(folder, f"are corrected for {', '.join(sorted(corrected)) or 'nothing'}, expected ATTN and DECY")
    if not getattr(data, "RadiopharmaceuticalInformationSequence", None):
        raise _not_suv(folder, "do not tell what was injected")
    drug = data.RadiopharmaceuticalInformationSequence[0]
    weight = float(data.get("PatientWeight") or 0.0)
    dose = float(drug.get("RadionuclideTotalDose") or 0.0)
    half_life = float(drug.get("RadionuclideHalfLife") or 0.0)
    if min(weight, dose, half_life) <= 0.0:
        raise _not_suv(folder, f"have weight {weight:g} kg, dose {dose:g} Bq and half life {half_life:g} s, expected all")
    correction = text(data, "DecayCorrection")
    if correction == "ADMIN":
        waited = 0.0
    elif correction == "START":
        waited = _waited(headers, drug, folder)
    else:
        raise _not_suv(folder, f"have the decay correction {correction or 'none'}, expected START or ADMIN")
    return weight * 1000.0 / (dose * 2.0 ** (-waited / half_life))


def _waited(headers: Sequence[Any], drug: Any, folder: Path) -> float:
    """Seconds from the injection to the start of the scan.

    The times of day decide: dates are shifted in public data, and not always all by the same.
    """
    injected = text(drug, "RadiopharmaceuticalStartTime") or text(drug, "RadiopharmaceuticalStartDateTime")[8:]
    series = text(headers[0], "SeriesTime")
    acquired = [text(header, "AcquisitionTime") for header in headers]
    if not injected or not (series or any(acquired)):
        raise _not_suv(folder, "do not tell when the injection or the scan was")
    starts = [_seconds(time) for time in (series, *acquired) if time]
    waited = (min(starts) - _seconds(injected)) % _DAY
    if waited > _LONGEST_WAIT:
        raise _not_suv(folder, f"were made {waited / 3600.0:.1f} h after the injection by their times, expected at most 8")
    return waited


def _seconds(time: str) -> float:
    """Seconds since midnight of a DICOM time.

    >>> _seconds("101530.5"), _seconds("0915")
    (36930.5, 33300.0)
    """
    whole, _, fraction = time.partition(".")
    digits = "".join(letter for letter in whole.partition("+")[0].partition("-")[0] if letter.isdigit())[:6].ljust(6, "0")
    moment = datetime.strptime(digits, "%H%M%S")
    part = "".join(letter for letter in fraction[:6] if letter.isdigit())
    return moment.hour * 3600.0 + moment.minute * 60.0 + moment.second + (float(f"0.{part}") if part else 0.0)


def _not_suv(folder: Path, what: str) -> ImageError:
    return ImageError("image.suv", f"The slices in '{folder}' {what}.", "Convert the series to SUV with the vendor's program.")
