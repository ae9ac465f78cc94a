"""Radiomics features, measured with PyRadiomics on domain values and true spacing.

A feature is named ``class_Feature`` as PyRadiomics does (``firstorder_Mean``, ``shape_Sphericity``). The feature
classes are called directly on the mask's bounding box; filters, resampling and resegmentation are never applied.
Lengths are in mm, areas in mm^2, volumes in mm^3, intensities in the unit of ``u``.

Source: van Griethuysen et al., Computational Radiomics System to Decode the Radiographic Phenotype, Cancer Research 2017.
"""

import difflib
import logging
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import SimpleITK as sitk
from radiomics import firstorder, glcm, gldm, glrlm, glszm, ngtdm, shape

from TumorSynthLib.errors import FeatureError
from TumorSynthLib.feature_names import SHAPE_FEATURES, TEXTURE_FEATURES
from TumorSynthLib.volume import Geometry, mask_box

# PyRadiomics warns on stderr, for example that two of its features are redundant. Nothing of it concerns a user.
logging.getLogger("radiomics").setLevel(logging.CRITICAL + 1)

_CLASSES = {
    "shape": shape.RadiomicsShape,
    "firstorder": firstorder.RadiomicsFirstOrder,
    "glcm": glcm.RadiomicsGLCM,
    "glrlm": glrlm.RadiomicsGLRLM,
    "glszm": glszm.RadiomicsGLSZM,
    "gldm": gldm.RadiomicsGLDM,
    "ngtdm": ngtdm.RadiomicsNGTDM,
}

MIN_VOXELS = 2
"""A lone voxel has no axes and no neighbors."""
MAX_GRAY_LEVELS = 600
"""Co-occurrence grows with the square of the number of gray levels in memory and with its cube in time:
0.1 s for 100 levels, 1.5 s for 300, 65 s for 1000."""


def feature_class(name: str) -> str:
    """The PyRadiomics class of a feature.

    >>> feature_class("glcm_Contrast")
    'glcm'
    """
    return name.split("_", 1)[0]


def check_names(names: Iterable[str], known: tuple[str, ...] = SHAPE_FEATURES + TEXTURE_FEATURES) -> tuple[str, ...]:
    """The names as a tuple without repetitions, in the order given.

    Parameters
    ----------
    names : feature names such as ``glcm_Contrast``.
    known : names that are allowed; all shape and texture features unless told.

    Raises
    ------
    FeatureError : ``feature.unknown``, with the nearest allowed name, when one of them is not allowed.
    """
    unique = tuple(dict.fromkeys(names))
    allowed = set(known)
    for name in unique:
        if name not in allowed:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"Did you mean '{close[0]}'?" if close else "Names are class_Feature, for example 'glcm_Contrast'."
            raise FeatureError("feature.unknown", f"There is no feature '{name}'.", hint)
    return unique


def measure_shape(mask: np.ndarray, geometry: Geometry) -> dict[str, float]:
    """The 14 shape features of a mask, in mm, mm^2 and mm^3.

    ``shape_VoxelVolume`` is the number of voxels times the voxel volume. The three 2D diameters belong to the image
    as it is stored: Slice lies in the i-j plane, Column in the i-k plane and Row in the j-k plane. Everything else
    is the same however the axes are ordered or flipped.

    Parameters
    ----------
    mask : boolean array (i, j, k).
    geometry : grid of the mask. Its axes are taken as orthogonal.

    Raises
    ------
    FeatureError : ``feature.grid`` when mask and geometry differ in size, ``feature.empty`` for an empty mask,
        ``feature.small`` for fewer than two voxels.
    """
    mask = _checked_mask(mask, geometry)
    inside = mask[mask_box(mask).slices]
    image = _sitk_image(inside.astype(np.uint8), geometry)
    values = _execute("shape", SHAPE_FEATURES, image, image, {})
    values["shape_VoxelVolume"] = int(inside.sum()) * geometry.voxel_volume_mm3
    return _defined(values, SHAPE_FEATURES)


def measure_texture(
    u: np.ndarray,
    mask: np.ndarray,
    geometry: Geometry,
    settings: Mapping[str, Any],
    names: Iterable[str] | None = None,
    alive: Callable[[], None] | None = None,
) -> dict[str, float]:
    """First-order and texture features of the voxels inside a mask.

    A feature that has no finite value on this mask (the co-occurrence of voxels of which no two are neighbors) is
    left out when everything is measured, and an error when it was asked for by name. A constant region keeps the
    values that PyRadiomics defines for it: skewness, kurtosis and entropy 0, correlation 1, NGTDM coarseness 10^6.

    Parameters
    ----------
    u : domain values, array (i, j, k).
    mask : boolean array (i, j, k).
    geometry : grid of both. Only its spacing matters.
    settings : PyRadiomics settings, ``Domain.radiomics`` (``binWidth`` in units of ``u``, or ``binCount``).
    names : features to measure; all 93 when None. Only the classes and features named are computed.
    alive : called before each class of features; may raise to cancel.

    Returns
    -------
    Values by name, in the order of ``names``.

    Raises
    ------
    FeatureError : ``feature.unknown`` for an unknown name, ``feature.grid``, ``feature.empty`` and ``feature.small``
        as for shapes, ``feature.values`` when a value inside the mask is not finite, ``feature.levels`` when the bin
        width gives more than ``MAX_GRAY_LEVELS`` gray levels, ``feature.undefined`` for a named feature without value.
    """
    wanted = TEXTURE_FEATURES if names is None else check_names(names, TEXTURE_FEATURES)
    mask = _checked_mask(mask, geometry)
    box = mask_box(mask).slices
    inside = mask[box]
    if np.shape(u) != mask.shape:
        raise FeatureError("feature.grid", f"The image has shape {np.shape(u)}, the mask {mask.shape}.")
    region = np.where(inside, np.asarray(u)[box].astype(np.float64), 0.0)
    _check_values(region[inside], settings)
    image, label = _sitk_image(region, geometry), _sitk_image(inside.astype(np.uint8), geometry)
    measured: dict[str, float] = {}
    for class_name in dict.fromkeys(map(feature_class, wanted)):
        if alive is not None:
            alive()
        of_class = [name for name in wanted if feature_class(name) == class_name]
        measured |= _execute(class_name, of_class, image, label, {**settings, "label": 1})
    return _defined(measured, wanted, () if names is None else wanted)


def _checked_mask(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    mask = np.asarray(mask) != 0
    if mask.shape != geometry.shape:
        raise FeatureError("feature.grid", f"The mask has shape {mask.shape}, its geometry {geometry.shape}.")
    count = int(np.count_nonzero(mask))
    if count == 0:
        raise FeatureError("feature.empty", "The mask has no voxel set.", "Choose a region that is not empty.")
    if count < MIN_VOXELS:
        raise FeatureError(
            "feature.small", f"The mask has {count} voxel; features need {MIN_VOXELS}.", "Choose a larger region."
        )
    return mask


def _check_values(values: np.ndarray, settings: Mapping[str, Any]) -> None:
    if not np.all(np.isfinite(values)):
        raise FeatureError(
            "feature.values", "The image has values inside the mask that are not finite.", "Repair the image or the mask."
        )
    low, high = float(values.min()), float(values.max())
    levels = settings.get("binCount") or int((high - low) / settings.get("binWidth", 25)) + 1
    if levels > MAX_GRAY_LEVELS:
        raise FeatureError(
            "feature.levels",
            f"Values in the mask run from {low:g} to {high:g}: {levels} gray levels, at most {MAX_GRAY_LEVELS} are measured.",
            "Check that the domain fits the image, or use wider bins.",
        )


def _sitk_image(array: np.ndarray, geometry: Geometry) -> sitk.Image:
    """A SimpleITK image of an (i, j, k) array with x, y, z along i, j, k, the true spacing and no rotation."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing(geometry.spacing.tolist())
    return image


def _execute(
    class_name: str, names: Iterable[str], image: sitk.Image, label: sitk.Image, settings: Mapping[str, Any]
) -> dict[str, float]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # means over no co-occurrence; `_defined` handles the result
        extractor = _CLASSES[class_name](image, label, **settings)
        for name in names:
            extractor.enableFeatureByName(name.split("_", 1)[1])
        values = extractor.execute()
    return {f"{class_name}_{feature}": float(np.real(value)) for feature, value in values.items()}


def _defined(
    measured: Mapping[str, float], wanted: Iterable[str], required: Iterable[str] = SHAPE_FEATURES
) -> dict[str, float]:
    for name in required:
        if not np.isfinite(measured[name]):
            raise FeatureError(
                "feature.undefined", f"'{name}' has no value on this mask.", "Choose a larger, connected region."
            )
    return {name: measured[name] for name in wanted if np.isfinite(measured[name])}
