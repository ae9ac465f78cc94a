"""A worker that answers at once with results of its own making, so that the session is tested without networks."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import qt
import slicer
import slicer_phantoms
from slicer_results import writeResult

from TumorSynthLib.errors import Cancelled, TumorSynthError
from TumorSynthLib.mask_code import encode_mask
from TumorSynthLib.methods import METHODS
from TumorSynthSlicer.grids import geometryOf
from TumorSynthSlicer.nrrd_files import mapped
from TumorSynthSlicer.nrrd_headers import readHeader
from TumorSynthSlicer.signals import Signal

DOMAINS = [
    {"id": "abdomen-ct", "organ": "abdomen", "modality": "CT", "unit": "HU"},
    {"id": "lung-ct", "organ": "lung", "modality": "CT", "unit": "HU"},
]
RANGES = {"shape_VoxelVolume": {"low": 1000.0, "middle": 8000.0, "high": 90000.0, "unit": "mm^3", "conditional": True}}
SHIFT = 100
"""What a result adds to the voxels of the tumor, and its seed to that."""


class FakeJob:
    """An edit that is on its way."""

    def __init__(self, onFailed: Callable[[TumorSynthError], None]) -> None:
        self._onFailed = onFailed
        self.over = False

    def cancel(self) -> None:
        """Nobody wants it any more."""
        if not self.over:
            self.over = True
            qt.QTimer.singleShot(0, lambda: self._onFailed(Cancelled()))


class FakeService:
    """Does what ``WorkerService`` does, in the scan that is edited and without waiting.

    A new tumor is a ball of 8 mm; edits add a number to its voxels, removals subtract one.
    """

    def __init__(self, volume: Callable[[], Any]) -> None:
        self._volume = volume
        self.stateChanged, self.logged, self.progressed = Signal(), Signal(), Signal()
        self.state, self.device, self.bundle = "stopped", "cpu", {"id": "tiny"}
        self.requests: list[dict[str, Any]] = []
        self.inquiries: list[dict[str, Any]] = []
        self.hold = False
        """Whether edits go on until they are cancelled."""
        self.error: TumorSynthError | None = None
        """What every edit fails with."""
        self.failFrom = 0
        """Number of the first edit that does."""
        self.answers: dict[str, dict[str, Any]] = {
            "bundles": {"bundles": [{"id": "tiny", "domains": DOMAINS, "methods": list(METHODS)}]},
            "domain": {"domain": "abdomen-ct", "modality": "CT", "candidates": ["abdomen-ct"], "warnings": []},
            "ranges": {"ranges": RANGES, "warnings": []},
            "measure": {"measured": {"shape_VoxelVolume": 4000.0, "firstorder_Mean": 55.0}, "domain": "abdomen-ct"},
        }

    def start(self) -> None:
        """Ready at once."""
        self.state = "ready"
        self.stateChanged.emit()

    def ask(self, values: Mapping[str, Any], onAnswer: Any = None, onFailed: Any = None, kind: Any = None) -> None:
        """Answer in a moment."""
        self.inquiries.append(dict(values))
        answer = self.answers[values["op"]] if not values.get("preview") else self._outline(values)
        qt.QTimer.singleShot(0, lambda: onAnswer(answer))

    def run(self, values: Mapping[str, Any], onDone: Any = None, onFailed: Any = None, onProgress: Any = None) -> FakeJob:
        """Carry out an edit in a moment."""
        self.requests.append(dict(values))
        number, job = len(self.requests) - 1, FakeJob(onFailed)

        def act() -> None:
            if job.over or self.hold:
                return
            job.over = True
            onProgress("sampling", 0.5, 1.0)
            if self.error is not None and number >= self.failFrom:
                onFailed(self.error)
            else:
                onDone({"event": "done", "result": str(self._make(values))})

        qt.QTimer.singleShot(5, act)
        return job

    def inquiriesOf(self, op: str) -> list[dict[str, Any]]:
        """What was asked of one kind; previews go by the name of their operation."""
        return [values for values in self.inquiries if values["op"] == op]

    def _outline(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {**encode_mask(self._mask(values), geometryOf(self._volume())), "measured": {"shape_VoxelVolume": 2000.0}}

    def _mask(self, values: Mapping[str, Any]) -> np.ndarray:
        """The tumor, bool (i, j, k)."""
        place = values.get("at") or values.get("to")
        if values.get("box"):
            place = np.mean(values["box"], axis=0)
        if place is not None:
            return slicer_phantoms.ballMask(self._volume(), place, 8.0)
        return self._painted(values)

    def _painted(self, values: Mapping[str, Any]) -> np.ndarray:
        header = readHeader(values["mask"])
        indices = np.argwhere(mapped(values["mask"], header).transpose(2, 1, 0) == values["label"])
        grid = geometryOf(self._volume())
        found = np.rint(grid.to_ijk(header.geometry.to_ras(indices))).astype(int)
        mask = np.zeros(grid.shape, bool)
        mask[tuple(found.T)] = True
        return mask

    def _make(self, values: Mapping[str, Any]) -> Path:
        out = Path(values["out"])
        array = np.array(mapped(values["image"], readHeader(values["image"])))
        if values["op"] == "lesions":
            return self._makeSeveral(out, array, values)
        if values["op"] == "grow":
            names = [f"{number:02d}" for number, _ in enumerate(values["volumes_ml"], start=1)]
            middle = geometryOf(self._volume()).to_ras(np.argwhere(self._painted(values)).mean(axis=0))
            for number, name in enumerate(names):
                mask = slicer_phantoms.ballMask(self._volume(), middle, 6.0 + 3 * number)
                self._write(out / name, array.copy(), values, {"Tumor": mask})
            return self._note(out, names)
        return self._write(out, array, values, {"Tumor": self._mask(values)})

    def _write(self, out: Path, array: np.ndarray, values: Mapping[str, Any], masks: dict[str, np.ndarray]) -> Path:
        mask = masks["Tumor"]
        array.transpose(2, 1, 0)[mask] += -SHIFT if values["op"] == "remove" else SHIFT + values["seed"] % 50
        gone = values["op"] == "remove"
        told = {"request": dict(values), "requested": {}, "measured": {"shape_VoxelVolume": 10.0 * float(mask.sum())}}
        return writeResult(out, self._volume(), array, {"Tumor": mask & (not gone)}, changed=False, **told)

    def _makeSeveral(self, out: Path, array: np.ndarray, values: Mapping[str, Any]) -> Path:
        masks, told = {}, []
        for lesion in values["lesions"]:
            mask = self._mask(lesion)
            array.transpose(2, 1, 0)[mask] += -SHIFT if lesion["op"] == "remove" else SHIFT
            if lesion["op"] != "remove":
                masks[lesion["name"]] = mask
            told.append({"name": lesion["name"], "request": lesion, "requested": {}, "measured": {"shape_VoxelVolume": 1.0}})
        return writeResult(out, self._volume(), array, masks, changed=False, request=dict(values), lesions=told)

    def _note(self, out: Path, names: list[str]) -> Path:
        told = json.loads((out / names[0] / "result.json").read_text())
        (out / "result.json").write_text(json.dumps({**told, "measured": {}, "series": names}))
        return out


def voxels(volume: Any) -> np.ndarray:
    """A copy of a volume's voxels [k, j, i]."""
    return slicer.util.arrayFromVolume(volume).copy()
