"""Pictures of the panel beside the views, as a user of the application has them before the eyes."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from slicer_case import SCREENSHOTS
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

GAP = 4
"""Pixels between two pictures."""


def wanted() -> bool:
    """Whether pictures are kept."""
    return bool(os.environ.get(SCREENSHOTS))


def save(pixels: np.ndarray, name: str) -> None:
    """Write pixels, uint8 (rows from the top, columns, RGB), as NAME.png."""
    folder = Path(os.environ[SCREENSHOTS])
    folder.mkdir(parents=True, exist_ok=True)
    image = vtk.vtkImageData()
    image.SetDimensions(pixels.shape[1], pixels.shape[0], 1)
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(pixels[::-1]).reshape(-1, 3), deep=True))
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(folder / f"{name}.png"))
    writer.SetInputData(image)
    writer.Write()


def ofWidget(widget: Any, path: Path) -> np.ndarray:
    """What a widget shows; a file is written on the way."""
    slicer.app.processEvents()
    widget.grab().save(str(path))
    reader = vtk.vtkPNGReader()
    reader.SetFileName(str(path))
    reader.Update()
    columns, rows, _ = reader.GetOutput().GetDimensions()
    pixels = vtk_to_numpy(reader.GetOutput().GetPointData().GetScalars()).reshape(rows, columns, -1)
    return np.ascontiguousarray(pixels[::-1, :, :3])


def beside(pictures: list[np.ndarray], shade: int = 255) -> np.ndarray:
    """Pictures from the left to the right, tops in a line."""
    return _joined(pictures, 0, shade)


def below(pictures: list[np.ndarray], shade: int = 255) -> np.ndarray:
    """Pictures from the top down, left edges in a line."""
    return _joined(pictures, 1, shade)


def _joined(pictures: list[np.ndarray], across: int, shade: int) -> np.ndarray:
    edge = max(picture.shape[across] for picture in pictures)
    parts = []
    for picture in pictures:
        room = [(0, 0), (0, 0), (0, 0)]
        room[across] = (0, edge - picture.shape[across])
        room[1 - across] = (0, GAP if picture is not pictures[-1] else 0)
        parts.append(np.pad(picture, room, constant_values=shade))
    return np.concatenate(parts, axis=1 - across)
