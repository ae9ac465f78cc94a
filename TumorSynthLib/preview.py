"""A picture of an edit as a radiologist reads it: axial, coronal and sagittal, before and after.

Radiological convention: patient right on the left of the picture, anterior and superior up, anterior left in the sagittal
plane. Planes are cut in patient space, so the storage order and obliqueness of the scan change nothing.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from TumorSynthLib.volume import Geometry, Volume, mask_box

_TILE = 320
_GAP = 6
_HEADER = 30
_FOOTER = 30
_SMALLEST_VIEW_MM = 60.0
_NEW = (255, 205, 60)
_OLD = (90, 190, 255)
_CORE = (255, 120, 200)
_TEXT = (235, 235, 235)
_MARK = "SYNTHETIC - not for clinical use"


@dataclass(frozen=True)
class Plane:
    """How a plane lies on the screen."""

    name: str
    """Name in the picture."""
    right: tuple[int, int, int]
    """RAS direction of the picture's right."""
    up: tuple[int, int, int]
    """RAS direction of the picture's top."""
    letters: str
    """Patient letters at left, right, top and bottom."""


PLANES = (
    Plane("axial", (-1, 0, 0), (0, 1, 0), "RLAP"),
    Plane("coronal", (-1, 0, 0), (0, 0, 1), "RLSI"),
    Plane("sagittal", (0, -1, 0), (0, 0, 1), "APSI"),
)


def write_preview(
    path: str | Path,
    before: Volume,
    after: Volume,
    mask_before: np.ndarray | None,
    mask_after: np.ndarray | None,
    window: tuple[float, float],
    title: str,
    center_ras: np.ndarray,
    core: np.ndarray | None = None,
) -> None:
    """Write a PNG with rows before, after, and after with the outlines, and columns axial, coronal, sagittal.

    Parameters
    ----------
    path : file to write.
    before, after : the two scans on one grid, stored values.
    mask_before, mask_after : bool on that grid, the tumor (or edited region) before and after; None or empty: no outline.
    window : lowest and highest stored value, shown black and white.
    title : line above the picture.
    center_ras : point in RAS mm through which the planes run.
    core : bool on that grid, the core of the tumor; None or empty: no outline.
    """
    view = view_size(before.geometry, mask_before, mask_after)
    rows = (("before", before, False), ("after", after, False), ("after, outlined", after, True))
    width = 3 * _TILE + 4 * _GAP
    picture = Image.new("RGB", (width, _HEADER + 3 * (_TILE + _GAP) + _FOOTER), (24, 24, 24))
    draw = ImageDraw.Draw(picture)
    draw.text((_GAP, 7), title, fill=_TEXT, font=_font(15))
    for row, (label, volume, outlined) in enumerate(rows):
        for column, plane in enumerate(PLANES):
            pixels = render_plane(volume, plane, center_ras, view, window)
            if outlined:
                _draw_outline(pixels, before.geometry, mask_before, plane, center_ras, view, _OLD)
                _draw_outline(pixels, before.geometry, mask_after, plane, center_ras, view, _NEW)
                _draw_outline(pixels, before.geometry, core, plane, center_ras, view, _CORE)
            tile = Image.fromarray(pixels)
            _annotate(tile, plane, label, view, row > 0)
            picture.paste(tile, (_GAP + column * (_TILE + _GAP), _HEADER + row * (_TILE + _GAP)))
    _write_footer(draw, picture.height - _FOOTER + 4, width, mask_before, mask_after, core, window)
    picture.save(path, format="PNG", compress_level=2)


def view_size(geometry: Geometry, *masks: np.ndarray | None) -> float:
    """Edge of the picture in mm: four tumor diameters, at least 60 mm, with the whole tumor in sight."""
    view = _SMALLEST_VIEW_MM
    for mask in masks:
        if mask is not None and mask.any():
            diameter = 2.0 * (3.0 * float(mask.sum()) * geometry.voxel_volume_mm3 / (4.0 * np.pi)) ** (1.0 / 3.0)
            extent = float(np.max(np.array(mask_box(mask).shape) * geometry.spacing))
            view = max(view, min(4.0 * diameter, 180.0), 1.5 * extent)
    return view


def render_plane(
    volume: Volume, plane: Plane, center_ras: np.ndarray, view_mm: float, window: tuple[float, float], size: int = _TILE
) -> np.ndarray:
    """One plane through a point as RGB pixels (size, size, 3), uint8; outside the scan a very dark blue."""
    points = _points(volume.geometry, plane, center_ras, view_mm, size)
    values = ndimage.map_coordinates(volume.array, points, output=np.float32, order=1, mode="nearest")
    low, high = window
    gray = np.clip((values - low) / max(high - low, 1e-9), 0.0, 1.0)
    pixels = np.repeat((255.0 * gray + 0.5).astype(np.uint8)[..., None], 3, axis=2)
    limits = np.array(volume.geometry.shape).reshape(3, 1, 1) - 0.5
    pixels[~np.all((points >= -0.5) & (points <= limits), axis=0)] = (14, 18, 30)
    return pixels


def _points(geometry: Geometry, plane: Plane, center_ras: np.ndarray, view_mm: float, size: int) -> np.ndarray:
    """Voxel coordinates of the pixels, shape (3, size, size)."""
    offsets = (np.arange(size) - (size - 1) / 2.0) * (view_mm / size)
    across = offsets[None, :, None] * np.array(plane.right, dtype=np.float64)
    upward = -offsets[:, None, None] * np.array(plane.up, dtype=np.float64)
    return np.moveaxis(geometry.to_ijk(np.asarray(center_ras, dtype=np.float64) + across + upward), -1, 0)


def _draw_outline(
    pixels: np.ndarray,
    geometry: Geometry,
    mask: np.ndarray | None,
    plane: Plane,
    center_ras: np.ndarray,
    view_mm: float,
    color: tuple[int, int, int],
) -> None:
    """Color the pixels just outside the mask, one pixel wide at screen resolution."""
    if mask is None or not mask.any():
        return
    points = _points(geometry, plane, center_ras, view_mm, pixels.shape[0])
    box = mask_box(mask).expanded(np.full(3, 2.0), geometry.shape)
    local = points - np.array(box.start, dtype=np.float64).reshape(3, 1, 1)
    part = mask[box.slices].astype(np.float32)
    inside = ndimage.map_coordinates(part, local, order=1, mode="constant", cval=0.0) >= 0.5
    pixels[ndimage.binary_dilation(inside) & ~inside] = color


def _annotate(tile: Image.Image, plane: Plane, label: str, view_mm: float, marked: bool) -> None:
    """Plane name, patient letters, scale bar, and the mark on synthetic images."""
    draw = ImageDraw.Draw(tile)
    middle, last = _TILE // 2, _TILE - 6
    left, right, top, bottom = tuple(plane.letters)
    letters = ((6, middle, left, "lm"), (last, middle, right, "rm"), (middle, 5, top, "mt"), (middle, last - 14, bottom, "mb"))
    for x, y, text, anchor in letters:
        _write(draw, (x, y), text, 13, anchor)
    _write(draw, (6, 5), label, 13, "lt")
    _write(draw, (last, 5), plane.name, 13, "rt")
    bar = next((mm for mm in (50, 20, 10) if mm <= 0.34 * view_mm), 10)
    length = round(bar / view_mm * _TILE)
    draw.line([(8, last - 18), (8 + length, last - 18)], fill=_TEXT, width=2)
    _write(draw, (8, last - 22), f"{bar} mm", 12, "lb")
    if marked:
        _write(draw, (middle, _TILE - 3), _MARK, 11, "mb")


def _write(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, anchor: str) -> None:
    """Text with a dark rim, readable on any tissue."""
    draw.text(place, text, fill=_TEXT, font=_font(size), anchor=anchor, stroke_width=1, stroke_fill=(0, 0, 0))


def _write_footer(
    draw: ImageDraw.ImageDraw,
    y: int,
    width: int,
    mask_before: np.ndarray | None,
    mask_after: np.ndarray | None,
    core: np.ndarray | None,
    window: tuple[float, float],
) -> None:
    """Legend on the left, mark in the middle, window on the right."""
    x = float(_GAP)
    lines = ((mask_after, _NEW, "new outline"), (core, _CORE, "its core"), (mask_before, _OLD, "previous outline"))
    for mask, color, text in lines:
        if mask is not None and mask.any():
            draw.text((x, y), text, fill=color, font=_font(13))
            x += draw.textlength(text, font=_font(13)) + 16
    draw.text((width // 2, y), _MARK, fill=(255, 120, 110), font=_font(14), anchor="ma")
    draw.text((width - _GAP, y), f"window {window[0]:.4g} to {window[1]:.4g}", fill=_TEXT, font=_font(13), anchor="ra")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
