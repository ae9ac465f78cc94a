"""What a request refers to, read and checked before any work: the scan, its domain, the masks, what is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import TEXTURE_TOKENS, Domain
from TumorSynthLib.domains import choose_domain, tumor_domain
from TumorSynthLib.errors import GeometryError, ImageError, RequestError
from TumorSynthLib.features import measure_texture
from TumorSynthLib.intensity import Intensity, fit_intensity
from TumorSynthLib.json_checks import Point
from TumorSynthLib.places import Places
from TumorSynthLib.protocol import Request
from TumorSynthLib.volume import Geometry, Volume, mask_box
from TumorSynthLib.volume_io import mask_on_grid, read_mask, read_metadata, read_volume, sha256_file

MIN_SIZE = 8
"""Voxels that a scan must have along each axis."""


@dataclass(frozen=True, eq=False)
class Source:
    """A scan as it lies on disk."""

    scan: Volume
    """The image as stored."""
    metadata: Mapping[str, str]
    """What its header says."""
    sha256: str
    """Hash of the file."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A scan that is ready to be edited. Nothing in it is ever changed."""

    scan: Volume
    """The image as stored."""
    domain: Domain
    """Organ and modality."""
    intensity: Intensity
    """From stored values to domain values and network input."""
    painted: np.ndarray | None
    """The request's mask on the scan's grid, bool; with a labeled core both together."""
    core: np.ndarray | None
    """The labeled core inside it, bool."""
    allowed: np.ndarray | None
    """Where a tumor may be: the request's region or box on the scan's grid, bool."""
    texture: dict[str, float]
    """Asked texture features in domain values."""
    source_sha256: str
    """Hash of the image file."""
    warnings: list[str]
    """What the user should know."""
    labels: Volume | None = None
    """A label map of the scan's surroundings, which moves along with the tissue."""
    region: np.ndarray | None = None
    """The organ that holds the tumor, where the request names one, bool."""
    carried: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Masks of tumors that were made before, which move along as well."""
    tumor_domain: Domain | None = None
    """Domain whose tumors a new one looks like, where that is not the scan's own."""

    @property
    def appearance(self) -> Domain:
        """Domain whose tumors a new one looks like; features are measured as in ``domain`` all the same."""
        return self.domain if self.tumor_domain is None else self.tumor_domain


def read_source(image: str) -> Source:
    """Read a scan.

    Raises
    ------
    ImageError : when it cannot be read, or is too small to hold a tumor.
    """
    scan = read_volume(image)
    if min(scan.array.shape) < MIN_SIZE:
        raise ImageError("image.small", f"The scan has {scan.array.shape} voxels; {MIN_SIZE} along each axis are needed.")
    return Source(scan, read_metadata(image), sha256_file(image))


def read_scene(request: Request, bundle: Bundle, source: Source) -> Scene:
    """Read everything else that a request with an image refers to.

    Raises
    ------
    TumorSynthError : with what was found, what was expected and what to do.
    """
    scan = source.scan
    _check_points(request, scan)
    painted, core = _painted(request, scan)
    region = None
    if request.region is not None:
        region = mask_on_grid(read_mask(request.region, request.region_label), scan.geometry)
    allowed = region if request.box is None else inside_box(request.box, scan.geometry, region)
    center = _center(request, scan, painted, region)
    domain, warnings = choose_domain(request.domain, bundle.domains, scan, source.metadata, center)
    like = None if request.tumor_domain is None else tumor_domain(request.tumor_domain, domain, bundle.domains)
    if domain.unit == "SUV" and scan.unit not in ("", "SUV", "GML"):
        raise ImageError(
            "image.unit", f"The PET is stored in {scan.unit}, expected SUV.", "Convert it to SUV (body weight) first."
        )
    intensity = fit_intensity(scan.array, domain)
    _check_volume(request, scan)
    texture = dict(request.texture)
    if request.like is not None:
        texture = {**like_features(request.like, domain), **texture}
    labels = None if request.labels is None else _labels(request.labels, scan)
    scene = Scene(scan, domain, intensity, painted, core, allowed, texture, source.sha256, warnings, labels, region)
    return replace(scene, tumor_domain=like)


def _painted(request: Request, scan: Volume) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The request's mask and the labeled core inside it, on the scan's grid."""
    if request.mask is None:
        return None, None
    outer = mask_on_grid(read_mask(request.mask, request.label), scan.geometry)
    if request.core is None or "label" not in request.core:
        return outer, None
    core = mask_on_grid(read_mask(request.mask, request.core["label"]), scan.geometry)
    return outer | core, core


def _labels(path: str, scan: Volume) -> Volume:
    """A label map, which must lie on the scan's own grid."""
    labels = read_volume(path)
    if not labels.geometry.same_grid(scan.geometry):
        message = f"The label map '{path}' has another grid ({labels.array.shape}) than the scan ({scan.array.shape})."
        raise GeometryError("labels.grid", message, "Resample it to the scan first.")
    if labels.array.dtype.kind not in "iu":
        message = f"The label map '{path}' holds {labels.array.dtype}, expected whole numbers."
        raise ImageError("labels.type", message, "Save it as a label map.")
    return labels


def _check_points(request: Request, scan: Volume) -> None:
    for name, point in (("at", request.at), ("to", request.to)):
        if point is not None and not scan.geometry.contains(np.array(point)):
            corners = scan.geometry.to_ras(np.array([[0, 0, 0], np.array(scan.array.shape) - 1]))
            low, high = corners.min(axis=0).round(1).tolist(), corners.max(axis=0).round(1).tolist()
            raise GeometryError(
                "geometry.outside",
                f"The point '{name}' {list(point)} (RAS mm) lies outside the scan, which reaches from {low} to {high}.",
                "Give a point inside the scan, in RAS millimetres.",
            )


def _check_volume(request: Request, scan: Volume) -> None:
    asked = request.shape.get("volume_ml", request.shape.get("shape_VoxelVolume", 0.0) / 1000.0)
    whole = scan.array.size * scan.geometry.voxel_volume_mm3 / 1000.0
    if asked >= whole:
        raise RequestError(
            "request.volume", f"A tumor of {asked:g} mL does not fit into a scan of {whole:.4g} mL.", "Ask for less."
        )


def _center(request: Request, scan: Volume, painted: np.ndarray | None, region: np.ndarray | None) -> np.ndarray:
    """About where the edit is, RAS mm."""
    if request.at is not None:
        return np.array(request.at)
    if request.box is not None:
        return np.array(request.box).mean(axis=0)
    if painted is not None:
        box = mask_box(painted)
        return scan.geometry.to_ras((np.array(box.start) + np.array(box.stop) - 1) / 2)
    if request.handmade is not None and request.domain == "auto" and region is not None:
        return Places(region, scan.geometry).deepest
    return scan.geometry.to_ras((np.array(scan.array.shape) - 1) / 2)


def inside_box(box: tuple[Point, Point], geometry: Geometry, region: np.ndarray | None) -> np.ndarray:
    """A box and a region as one mask on the scan's grid."""
    low, high = np.min(box, axis=0), np.max(box, axis=0)
    axes = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in geometry.shape), indexing="ij", sparse=True)
    inside = np.ones(geometry.shape, bool)
    for row in range(3):
        place = sum(
            (axes[axis] * np.float32(geometry.affine[row, axis]) for axis in range(3)),
            np.float32(geometry.affine[row, 3]),
        )
        inside &= (place >= low[row]) & (place <= high[row])
    if not inside.any():
        raise GeometryError("geometry.box", f"The box {box} (RAS mm) holds no voxel of the scan.", "Draw it on the scan.")
    return inside if region is None else inside & region


def like_features(like: Mapping[str, object], domain: Domain) -> dict[str, float]:
    """Texture features of another scan's tumor, measured with the same domain's settings.

    Parameters
    ----------
    like : ``image``, ``mask`` and ``label``.
    domain : domain of the scan that is edited; the other scan must be of the same kind.
    """
    other = read_volume(Path(str(like["image"])))
    label = like.get("label", 1)
    mask = mask_on_grid(read_mask(Path(str(like["mask"])), int(str(label))), other.geometry)
    box = mask_box(mask)
    u = fit_intensity(other.array, domain).normalize(other.array[box.slices])
    return measure_texture(u, mask[box.slices], other.geometry.cropped(box), domain.radiomics, TEXTURE_TOKENS)
