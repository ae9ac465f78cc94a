"""Is the source the series that a result was made from, in the same unit? Some of its slices are compared with the result."""

from collections.abc import Callable, Sequence

import numpy as np
import SimpleITK as sitk

from TumorSynthLib.dicom_export_planes import Planes
from TumorSynthLib.dicom_export_result import ResultFolder
from TumorSynthLib.dicom_export_source import SourceSlice
from TumorSynthLib.errors import ImageError
from TumorSynthLib.itk_files import itk_errors

_SAMPLES = 7
"""Slices that are compared: another unit, phase or time point shows in every one of them."""
_SHARE = 0.5
"""Of their pixels, which must agree where a result does not tell what it has changed."""
_RELATIVE = 1e-5
"""Single precision of a result against double precision of its source."""
_NOTHING = 0.0


def check_agreement(
    result: ResultFolder, planes: Planes, slices: Sequence[SourceSlice], alive: Callable[[], None]
) -> list[str]:
    """Refuse a source whose values are not those of the result outside of what was changed.

    Parameters
    ----------
    result : the result.
    planes : its slices.
    slices : of the source, in the order of ``planes``.
    alive : called before each slice that is read.

    Returns
    -------
    Warnings: that the source could not be decoded.

    Raises
    ------
    ImageError : ``dicom.values``.
    """
    original = planes.view(_original(result))
    values = planes.view(result.image.array)
    shares = original.mean(axis=(1, 2))
    candidates = np.flatnonzero(shares > _NOTHING)
    chosen = candidates[np.unique(np.linspace(0, candidates.size - 1, _SAMPLES).astype(int))] if candidates.size else []
    same = total = 0
    pairs = []
    for number in chosen:
        alive()
        found = _pixels(slices[number])
        if found is None:
            return [
                f"The pixels of {slices[number].path.name} cannot be decoded, so the source was not compared with the result."
            ]
        where, image = original[number], values[number]
        step = abs(slices[number].storage.slope) / 2
        close = np.abs(found - image) <= step * (1 + 1e-6) + _RELATIVE * np.abs(found)
        same, total = same + int(close[where].sum()), total + int(where.sum())
        pairs.append((found[where], image[where]))
    if same < total * (_SHARE if result.changed is None else 1.0):
        raise _different(result, pairs, 1.0 - same / total)
    return []


def _original(result: ResultFolder) -> np.ndarray:
    """Where the result is its source: all of it, where it does not tell."""
    original = np.ones(result.image.array.shape, bool)
    for box in result.changed or ():
        original[box.slices] = False
    return original


def _pixels(source: SourceSlice) -> np.ndarray | None:
    """Values of a slice, shape (rows, columns), decoded by GDCM; None where it cannot."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(source.path))
    try:
        with itk_errors(source.path):
            values = sitk.GetArrayFromImage(reader.Execute())
    except ImageError:
        return None
    return values.reshape(source.place.size) if values.size == np.prod(source.place.size) else None


def _different(result: ResultFolder, pairs: Sequence[tuple[np.ndarray, np.ndarray]], share: float) -> ImageError:
    """The error for a source with other values, with the factor between them where there is one."""
    found, image = (np.concatenate(parts).astype(np.float64) for parts in zip(*pairs, strict=True))
    where = "outside of what was changed " if result.changed is not None else ""
    message = f"The source's values are not the result's: {where}{100 * share:.3g} % of the voxels compared differ"
    factor = float(found @ image) / float(found @ found) if found.any() else 0.0
    if factor and np.allclose(found * factor, image, rtol=1e-3, atol=1e-3 * float(np.abs(image).max())):
        message += f" (result = {factor:.6g} x source, so it is in another unit, such as SUV instead of Bq/ml)"
        hint = "Export without a source; or edit the series as it is stored, and export that result with it."
    else:
        hint = "Give the series that was edited (another phase or time point?), or export without a source."
    return ImageError("dicom.values", f"{message}.", hint)
