"""The main path: request, scene, shape, texture, composite, measure, result folder."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from TumorSynthLib.bundle import Bundle, load_bundle
from TumorSynthLib.edit import TextureEdit, edit_texture
from TumorSynthLib.errors import DeviceError, RequestError, TumorSynthError
from TumorSynthLib.existing import centroid, grown, moved, reshaped, tumor_texture
from TumorSynthLib.features import measure_shape, measure_texture
from TumorSynthLib.placing import place_alone, place_in_scan, shape_model
from TumorSynthLib.preview import write_preview
from TumorSynthLib.protocol import Request, shape_targets
from TumorSynthLib.result import ResultWriter, build_result
from TumorSynthLib.scene import Scene, read_scene
from TumorSynthLib.texture import Sampling, TextureModel
from TumorSynthLib.typical import complete_texture, follow
from TumorSynthLib.volume import Geometry, Volume, mask_box
from TumorSynthLib.volume_io import sha256_file, write_segmentation, write_volume

Progress = Callable[[str, float], None]
"""Called with a stage and the share of it that is done; may raise ``Cancelled``."""

MaskPreview = Callable[[np.ndarray, Geometry], None]
"""Called with a mask and its grid."""
SHARES = {"reading": 0.1, "shape": 0.2, "sampling": 0.7, "compositing": 0.85, "measuring": 0.95, "writing": 1.0}
"""Where each stage ends on a single progress bar."""


@dataclass(frozen=True, eq=False)
class Target:
    """One tumor to synthesize, or one region to heal."""

    scene: Scene
    """The scan to do it in."""
    mask: np.ndarray
    """Where, bool on the scan's grid."""
    drawn: Mapping[str, float] | None
    """Texture of the tumor that was there; None lets a typical one be drawn."""
    warnings: list[str]
    """What could not be met."""
    requested: dict[str, float]
    """Asked shape features."""


@dataclass
class Timer:
    """Seconds spent in each stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def overall(progress: Progress | None) -> Progress:
    """A progress callback per stage from one for the whole run (0 to 1)."""
    starts = dict(zip(SHARES, [0.0, *list(SHARES.values())[:-1]], strict=True))

    def report(stage: str, share: float) -> None:
        if progress is not None:
            progress(stage, starts[stage] + share * (SHARES[stage] - starts[stage]))

    return report


def part_of(progress: Progress | None, number: int, count: int) -> Progress | None:
    """Progress of one of several equal parts of a run."""
    if progress is None:
        return None
    return lambda stage, share: progress(stage, (number + share) / count)


def choose_device(asked: str) -> str:
    """The device to run on.

    Raises
    ------
    DeviceError : when an asked device is not there; ``auto`` takes a GPU if there is one.
    """
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = asked.split(":")[0]
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    number = int(asked.split(":")[1]) if ":" in asked else 0
    if not there.get(kind, False) or (kind == "cuda" and number >= torch.cuda.device_count()):
        raise DeviceError("device.missing", f"The device {asked!r} is not available here.", "Use the device cpu, or auto.")
    return asked


def candidate_seeds(seed: int, count: int) -> list[int]:
    """Independent seeds of the candidates; the first ones do not depend on how many there are."""
    return [int(np.random.SeedSequence((seed, number)).generate_state(1)[0]) for number in range(count)]


class Editor:
    """Runs requests with the networks of one bundle on one device, loaded once.

    Parameters
    ----------
    bundle : a loaded bundle, or its name.
    device : ``auto``, ``cpu``, ``cuda`` and so on.
    """

    def __init__(self, bundle: Bundle | str = "base", device: str = "auto") -> None:
        self.bundle = load_bundle(bundle) if isinstance(bundle, str) else bundle
        self.device = choose_device(device)
        self._texture: TextureModel | None = None
        self._shape = shape_model(self.bundle)

    @property
    def texture(self) -> TextureModel:
        """The texture networks, loaded when first needed."""
        if self._texture is None:
            self._texture = TextureModel(self.bundle, self.device)
        return self._texture

    def run(self, request: Request, progress: Progress | None = None, preview: MaskPreview | None = None) -> Path:
        """Carry out a request and write its result folder.

        Parameters
        ----------
        request : a checked request with ``out``.
        progress : called with a stage and the share of the whole run that is done; may raise to cancel.
        preview : called with the tumor's mask (bool, on the scan's grid) and its grid as soon as they are known.

        Returns
        -------
        The result folder.

        Raises
        ------
        TumorSynthError : with what was found, expected and to be done; then nothing is left behind.
        """
        check_possible(request)
        assert request.out is not None
        with ResultWriter(request.out, request.overwrite) as writer:
            if request.image is None:
                self._shape_alone(request, writer, overall(progress))
            elif request.op == "grow":
                self._grow(request, writer, progress, preview)
            else:
                self._edit(request, writer, overall(progress), preview)
            return writer.commit()

    def _shape_alone(self, request: Request, writer: ResultWriter, progress: Progress) -> None:
        timer = Timer()
        progress("shape", 0.0)
        with timer.stage("shape"):
            mask, warnings = place_alone(request, self._shape)
        with timer.stage("writing"):
            write_segmentation(mask, writer.path("segmentation.seg.nrrd"))
        measured = measure_shape(mask.array, mask.geometry)
        writer.write_json(self._result(request, shape_targets(request), measured, warnings, [], timer, None, None))
        progress("writing", 1.0)

    def _edit(self, request: Request, writer: ResultWriter, progress: Progress, preview: MaskPreview | None) -> None:
        timer = Timer()
        progress("reading", 0.0)
        with timer.stage("reading"):
            scene = read_scene(request, self.bundle)
        progress("shape", 0.0)
        if request.op == "shape":
            with timer.stage("shape"):
                mask, warnings = place_in_scan(request, scene, self._shape)
            self._write_mask(request, scene, mask, warnings, writer, timer)
        else:
            with timer.stage("shape"):
                target = self._target(request, scene, progress)
            self._write_edit(request, scene, target, writer, "", timer, progress, preview)
        progress("writing", 1.0)

    def _grow(self, request: Request, writer: ResultWriter, progress: Progress | None, preview: MaskPreview | None) -> None:
        """One sub-folder per volume, all from the same healed scan."""
        timer, count = Timer(), len(request.volumes_ml)
        with timer.stage("reading"):
            scene = read_scene(request, self.bundle)
        assert scene.painted is not None
        with timer.stage("texture"):
            drawn = follow(tumor_texture(scene, scene.painted), scene.texture)
            healed = self._healed(scene, scene.painted, request.seed, overall(part_of(progress, 0, count)))
        folders = []
        for number, volume in enumerate(request.volumes_ml):
            own, report = Timer(), overall(part_of(progress, number, count))
            with own.stage("shape"):
                mask = grown(scene.painted, scene, 1000.0 * volume)
            folders.append(f"{number + 1:02d}_{volume:g}mL")
            target = Target(healed, mask, drawn, [], {"shape_VoxelVolume": 1000.0 * volume})
            self._write_edit(request, scene, target, writer, folders[-1], own, report, preview)
        result = self._result(request, {}, {}, scene.warnings, [], timer, scene.source_sha256, None)
        writer.write_json({**result, "series": folders})
        overall(progress)("writing", 1.0)

    def _target(self, request: Request, scene: Scene, progress: Progress) -> Target:
        """What to synthesize, where, and in which scan: the healed one where a tumor changes its place or form."""
        painted, asked = scene.painted, shape_targets(request)
        if request.op == "insert" and (painted is None or request.shape):
            mask, warnings = place_in_scan(request, scene, self._shape)
            return Target(scene, mask, None, warnings, asked)
        assert painted is not None
        if request.op in ("insert", "remove"):
            return Target(scene, painted, None, [], asked)
        drawn = follow(tumor_texture(scene, painted), scene.texture)
        if request.op == "edit" and not request.shape:
            return Target(scene, painted, drawn, [], asked)
        if request.op == "move":
            assert request.to is not None
            mask, warnings = moved(painted, scene, np.array(request.to)), []
        else:
            mask, warnings = reshaped(painted, scene, asked, self._shape, request.seed)
        return Target(self._healed(scene, painted, request.seed, progress), mask, drawn, warnings, asked)

    def _healed(self, scene: Scene, mask: np.ndarray, seed: int, alive: Progress) -> Scene:
        """The scene with a tumor replaced by healthy tissue; ``alive`` is called on the way and may raise to cancel."""
        edit, sampling = TextureEdit(mask, None), Sampling(1, 1.0, candidate_seeds(seed, 1))
        best = edit_texture(scene, edit, self.texture, sampling, lambda stage, share: alive("shape", 0.0))[0]
        return replace(scene, scan=best.apply(scene.scan))

    def _write_edit(
        self,
        request: Request,
        scene: Scene,
        target: Target,
        writer: ResultWriter,
        folder: str,
        timer: Timer,
        progress: Progress,
        preview: MaskPreview | None,
    ) -> None:
        """Synthesize, measure and write one result, into the folder or a sub-folder of it."""
        mask = target.mask
        if preview is not None:
            preview(mask, scene.scan.geometry)
        with timer.stage("texture"):
            edit, sampling = self._plan(request, target)
            candidates = edit_texture(target.scene, edit, self.texture, sampling, progress)
        best = candidates[0]
        edited = best.apply(target.scene.scan)
        progress("measuring", 0.0)
        with timer.stage("measuring"):
            measured = measure(scene, edited, mask)
        progress("writing", 0.0)
        prefix = f"{folder}/" if folder else ""
        image = writer.path(f"{prefix}image.{request.format}")
        with timer.stage("writing"):
            write_volume(edited, image, {"TumorSynth_Synthetic": "SYNTHETIC"})
            tumor = np.zeros_like(mask) if request.op == "remove" else mask
            write_segmentation(Volume(tumor, scene.scan.geometry), writer.path(f"{prefix}segmentation.seg.nrrd"))
            self._preview(request, scene, edited, mask, writer.path(f"{prefix}preview.png"))
        requested = {**target.requested, **scene.texture}
        warnings = [*scene.warnings, *target.warnings, *best.warnings, *self._untold(request, scene)]
        told = [{"seed": c.seed, "distance": c.distance, "kept": c is best} for c in candidates]
        result = self._result(request, requested, measured, warnings, told, timer, scene.source_sha256, sha256_file(image))
        writer.write_json({**result, "drawn": dict(edit.drawn), "steps": sampling.steps}, folder)

    def _plan(self, request: Request, target: Target) -> tuple[TextureEdit, Sampling]:
        """What to synthesize, and how."""
        scene, mask = target.scene, target.mask
        if request.op == "remove":
            # Healthy tissue is asked for nothing, so one step is the posterior mean: the best guess of what was there.
            # Samples hallucinate enhancing tissue where the surroundings leave much open.
            sampling = Sampling(1, 1.0, candidate_seeds(request.seed, 1))
            return TextureEdit(mask, None, noise=request.noise), sampling
        drawn = target.drawn
        if drawn is None:
            volume = float(mask.sum() * scene.scan.geometry.voxel_volume_mm3)
            exemplars, scales = self.bundle.exemplars(scene.domain.id), self.texture.scales[scene.domain.id]
            drawn = complete_texture(scene.texture, volume, exemplars, scales, request.seed)
        sampling = Sampling(request.steps, request.guidance, candidate_seeds(request.seed, request.candidates))
        return TextureEdit(mask, scene.texture, noise=request.noise, drawn=drawn), sampling

    def _untold(self, request: Request, scene: Scene) -> list[str]:
        """What was asked for and cannot be steered directly."""
        if request.op == "remove":
            return ["Removal writes the best guess: one step, one candidate."] if request.candidates > 1 else []
        without = [name for name in scene.texture if name not in self.texture.config.tokens]
        if not without:
            return []
        return [f"The model has no token for {', '.join(without)}; only the choice among candidates steers them."]

    def _write_mask(
        self, request: Request, scene: Scene, mask: np.ndarray, warnings: list[str], writer: ResultWriter, timer: Timer
    ) -> None:
        with timer.stage("writing"):
            write_segmentation(Volume(mask, scene.scan.geometry), writer.path("segmentation.seg.nrrd"))
            self._preview(request, scene, scene.scan, mask, writer.path("preview.png"))
        measured = measure_mask(scene.scan, mask)
        found = [*scene.warnings, *warnings]
        writer.write_json(self._result(request, shape_targets(request), measured, found, [], timer, scene.source_sha256, None))

    def _preview(self, request: Request, scene: Scene, edited: Volume, mask: np.ndarray, path: Path) -> None:
        before = None if request.op in ("insert", "shape") else scene.painted
        after = None if request.op == "remove" else mask
        title = f"{request.op} | {scene.domain.id}"
        write_preview(
            path, scene.scan, edited, before, after, display_window(scene), title, centroid(mask, scene.scan.geometry)
        )

    def _result(
        self,
        request: Request,
        requested: Mapping[str, float],
        measured: Mapping[str, float],
        warnings: Sequence[str],
        candidates: list[dict[str, Any]],
        timer: Timer,
        source: str | None,
        result: str | None,
    ) -> dict[str, Any]:
        return build_result(
            request.to_dict(),
            requested=requested,
            measured=measured,
            warnings=warnings,
            candidates=candidates,
            timings=timer.seconds,
            bundle=self.bundle.identity,
            device=self.device,
            steps=request.steps,
            source_sha256=source,
            result_sha256=result,
        )


def run(request: Request, *, bundle: Bundle | None = None, progress: Progress | None = None) -> Path:
    """Carry out one request; see ``Editor.run``. For many, keep an ``Editor``."""
    check_possible(request)
    return Editor(bundle or request.bundle, request.device).run(request, progress)


def check_possible(request: Request) -> None:
    """Refuse what this version cannot do, before any file is opened.

    Raises
    ------
    RequestError : for a method or option that is not there.
    """
    if request.method != "bridge":
        raise RequestError("request.method", f"The bundle has no method {request.method!r}.", "Available: bridge.")
    for name in ("mass_effect", "rim"):
        if getattr(request, name) != 0.0:
            raise RequestError(
                f"request.{name}", f"{name} is not available (asked: {getattr(request, name):g}).", "Set it to 0."
            )
    for op, name in (("grow", "shape"), ("shape", "like")):
        if request.op == op and getattr(request, name):
            raise RequestError(f"request.{name}", f"The operation {op!r} cannot use '{name}'.", f"Remove '{name}'.")
    if request.out is None:
        raise RequestError("request.out", "The request names no result folder.", "Add 'out'.")


def measure_mask(scan: Volume, mask: np.ndarray) -> dict[str, float]:
    """Shape features of a mask on a scan's grid."""
    box = mask_box(mask)
    return measure_shape(mask[box.slices], scan.geometry.cropped(box))


def measure(scene: Scene, image: Volume, mask: np.ndarray) -> dict[str, float]:
    """Shape and texture features of a region, as far as it is large enough to have them."""
    box = mask_box(mask)
    geometry = scene.scan.geometry.cropped(box)
    u = scene.intensity.normalize(image.array[box.slices])
    found: dict[str, float] = {}
    for part in (
        lambda: measure_mask(image, mask),
        lambda: measure_texture(u, mask[box.slices], geometry, scene.domain.radiomics),
    ):
        try:
            found |= part()
        except TumorSynthError as error:
            if error.code != "feature.small":
                raise
    return found


def display_window(scene: Scene) -> tuple[float, float]:
    """The range of stored values that a radiologist would look at."""
    if scene.domain.modality == "CT":
        return (-1000.0, 400.0) if scene.domain.organ == "lung" else (-160.0, 240.0)
    if scene.domain.unit == "SUV":
        box = scene.scan.array.reshape(-1)
        return 0.0, float(np.clip(np.percentile(box[:: max(1, box.size // 500_000)], 99.8), 3.0, 12.0))
    low, high = scene.intensity.denormalize(np.array([0.0, 105.0]))
    return float(low), float(high)
