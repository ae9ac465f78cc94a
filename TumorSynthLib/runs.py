"""The kinds of result: one edit, a series of volumes, several lesions, a mask alone. Each goes the main path in its own way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from TumorSynthLib.changes import told_box, union
from TumorSynthLib.core_shape import new_core
from TumorSynthLib.existing import centroid
from TumorSynthLib.input_files import input_files
from TumorSynthLib.interruptible import interruptible
from TumorSynthLib.measuring import judged, measure
from TumorSynthLib.models import Models
from TumorSynthLib.outcome import Outcome, combined_segments, display_window, told_place, write_outcome_preview
from TumorSynthLib.placing import organ_of, place_alone, place_in_scan
from TumorSynthLib.preview import write_preview
from TumorSynthLib.protocol import Request, lesion_names, lesion_requests, shape_targets
from TumorSynthLib.quality import warnings as quality_warnings
from TumorSynthLib.ranges import implausible
from TumorSynthLib.result import ResultWriter, build_result
from TumorSynthLib.scene import Scene, Source, read_scene, read_source
from TumorSynthLib.shape_measure import measure_mask
from TumorSynthLib.stages import Progress, Timer, alive, overall, part_of
from TumorSynthLib.synthesis import Synthesis, Synthesizer
from TumorSynthLib.targets import Target, choose_target
from TumorSynthLib.volume import Geometry, Volume
from TumorSynthLib.volume_io import sha256_file, write_segmentation, write_volume

MaskPreview = Callable[[np.ndarray, Geometry], None]
"""Called with a mask and its grid."""
_MARK = {"TumorSynth_Synthetic": "SYNTHETIC"}


class Run:
    """One request on its way; the subclasses are the kinds of result folder."""

    def __init__(
        self, models: Models, request: Request, writer: ResultWriter, progress: Progress | None, preview: MaskPreview | None
    ) -> None:
        self.models, self.request, self.writer = models, request, writer
        self.progress, self.show = progress, preview
        self.timer = Timer()
        self._inputs: dict[str, str] = {}

    def carry_out(self) -> None:
        """Do everything but the last renaming of the folder."""
        raise NotImplementedError

    def source(self) -> Source:
        """The scan of the request."""
        assert self.request.image is not None
        image, report = self.request.image, overall(self.progress)
        report("reading", 0.0)
        with self.timer.stage("reading"):
            return interruptible(lambda: read_source(image), lambda: report("reading", 0.0))

    def scene(self, request: Request, source: Source) -> Scene:
        """The scan with everything else that a request refers to."""
        with self.timer.stage("reading"):
            return read_scene(request, self.models.bundle, source)

    def make(
        self,
        request: Request,
        scene: Scene,
        progress: Progress,
        healed: Synthesis | None = None,
        volume_ml: float | None = None,
    ) -> Outcome:
        """One edit, up to its measurements.

        Parameters
        ----------
        request : the edit.
        scene : the scan to do it in.
        progress : of this edit.
        healed : the scan without the tumor that has to go first, where it is known already.
        volume_ml : of a time point.
        """
        models, timer = self.models, self.timer
        if request.method == "flow" and request.op == "insert":
            target, finished = self._in_box(request, scene, progress)
        else:
            target, finished, healed = self._in_mask(request, scene, progress, healed, volume_ml)
        progress("measuring", 0.0)
        with timer.stage("measuring"):
            check = alive(progress, "measuring")
            measured = measure(finished.scene, target.mask, check)
            two = len(target.parts) > 1
            parts = {part.name: _texture_of(finished.scene, part.mask, check) for part in target.parts if two}
            quality = judged(finished.scene, target.mask, measured, models.bundle) if target.parts else None
        found = [*scene.warnings, *target.warnings, *finished.warnings, *_removal_warnings(request)]
        if healed is not None and healed is not finished:
            found += healed.warnings
        asked = {} if not target.parts else target.parts[0].asked
        found += implausible(models.bundle, scene.appearance.id, target.requested, asked) if target.parts else []
        found += quality_warnings(quality) if quality is not None else []
        return Outcome(request, scene, finished.scene, target, finished.made, measured, parts, quality, finished.steps, found)

    def _in_box(self, request: Request, scene: Scene, progress: Progress) -> tuple[Target, Synthesis]:
        """Mask and texture together."""
        with self.timer.stage("texture"):
            target, finished = Synthesizer(self.models.bundle, self.models.texture).in_box(request, scene, progress)
        if self.show is not None:
            self.show(target.mask, scene.scan.geometry)
        return target, finished

    def _in_mask(
        self, request: Request, scene: Scene, progress: Progress, healed: Synthesis | None, volume_ml: float | None
    ) -> tuple[Target, Synthesis, Synthesis | None]:
        """The mask first, then the texture in it; and the healed scan, where something had to go."""
        models, timer = self.models, self.timer
        progress("shape", 0.0)
        with timer.stage("shape"):
            target = choose_target(request, scene, models.shapes, alive(progress, "shape"), volume_ml)
        if self.show is not None:
            self.show(target.mask, scene.scan.geometry)
        with timer.stage("texture"):
            synthesizer = Synthesizer(models.bundle, models.texture)
            if not target.parts:
                finished = synthesizer.healed(request, scene, target.mask, progress)
                return target, finished, finished
            if target.replaced is not None and healed is None:
                healed = synthesizer.healed(request, scene, target.replaced, lambda stage, share: progress("shape", 0.0))
            base = scene if healed is None else healed.scene
            return target, synthesizer.tumor(request, base, target, progress), healed

    def write_image(
        self, edited: Volume, segments: Mapping[str, np.ndarray], labels: Volume | None, folder: str, report: Progress
    ) -> str:
        """Write image, segmentation and label map; the image's checksum."""
        check = alive(report, "writing")
        check()
        prefix = f"{folder}/" if folder else ""
        image = self.writer.path(f"{prefix}image.{self.request.format}")
        undo = self.writer.sweep_abandoned
        interruptible(lambda: write_volume(edited, image, _MARK), check, undo)
        masks = self.writer.path(f"{prefix}segmentation.seg.nrrd")
        interruptible(lambda: write_segmentation(segments, edited.geometry, masks), check, undo)
        if labels is not None:
            moved = self.writer.path(f"{prefix}labels.nrrd")
            interruptible(lambda: write_volume(labels, moved, _MARK, compress=True), check, undo)
        return interruptible(lambda: sha256_file(image), check)

    def result(self, outcome: Outcome | None = None, **values: Any) -> dict[str, Any]:
        """The contents of ``result.json``: of one edit, or with its fields given."""
        filled: dict[str, Any] = {"requested": {}, "measured": {}, "warnings": [], "candidates": []}
        filled["steps"] = self.request.steps
        if outcome is not None:
            filled |= {
                "requested": outcome.requested,
                "measured": outcome.measured,
                "warnings": outcome.warnings,
                "candidates": outcome.candidates(),
                "steps": outcome.steps,
                "changed": told_box(outcome.changed),
                "more": outcome.told(),
            }
        filled |= values
        more = filled.pop("more", {})
        models = self.models
        filled |= {"timings": self.timer.seconds, "bundle": models.bundle.identity, "device": models.device}
        request = self.request.to_dict()
        return {**build_result(request, inputs=self.inputs(filled.get("source_sha256")), **filled), **more}

    def inputs(self, source_sha256: str | None) -> dict[str, str]:
        """Checksums of the files that the request reads; that of the scan is known."""
        if not self._inputs:
            files = input_files(self.request.to_dict())
            known = {"image": source_sha256} if source_sha256 is not None else {}
            self._inputs = {name: known.get(name) or sha256_file(path) for name, path in files.items()}
        return self._inputs


class Edit(Run):
    """One edit, one result."""

    def carry_out(self) -> None:
        report = overall(self.progress)
        source = self.source()
        outcome = self.make(self.request, self.scene(self.request, source), report)
        with self.timer.stage("writing"):
            checksum = self.write_image(outcome.after.scan, outcome.segments, outcome.after.labels, "", report)
            write_outcome_preview(outcome, self.writer, "preview.png")
        self.writer.write_json(self.result(outcome, source_sha256=source.sha256, result_sha256=checksum))
        report("writing", 1.0)


class Grow(Run):
    """A series of one tumor: one sub-folder per volume, all from the same healed scan."""

    def carry_out(self) -> None:
        request, count = self.request, len(self.request.volumes_ml)
        source = self.source()
        scene = self.scene(request, source)
        assert scene.painted is not None
        first = overall(part_of(self.progress, 0, count))
        with self.timer.stage("texture"):
            synthesizer = Synthesizer(self.models.bundle, self.models.texture)
            healed = synthesizer.healed(request, scene, scene.painted, lambda stage, share: first("shape", 0.0))
        folders, changed = [], []
        for number, volume in enumerate(request.volumes_ml):
            whole, self.timer = self.timer, Timer()
            report = overall(part_of(self.progress, number, count))
            outcome = self.make(request, scene, report, healed, volume)
            changed.append(outcome.changed)
            folders.append(f"{number + 1:02d}_{volume:g}mL")
            with self.timer.stage("writing"):
                checksum = self.write_image(outcome.after.scan, outcome.segments, outcome.after.labels, folders[-1], report)
                write_outcome_preview(outcome, self.writer, f"{folders[-1]}/preview.png")
            told = self.result(outcome, source_sha256=source.sha256, result_sha256=checksum)
            self.writer.write_json(told, folders[-1])
            self.timer = whole
        box = told_box(union(changed))
        told = self.result(warnings=scene.warnings, source_sha256=source.sha256, changed=box, more={"series": folders})
        self.writer.write_json(told)
        overall(self.progress)("writing", 1.0)


class Lesions(Run):
    """Several edits, one on the other, in one result."""

    def carry_out(self) -> None:
        requests, names = lesion_requests(self.request), lesion_names(self.request)
        source = self.source()
        outcomes: list[Outcome] = []
        for number, request in enumerate(requests):
            scene = self.scene(request, source)
            if outcomes:
                last = outcomes[-1].after
                scene = replace(scene, scan=last.scan, labels=last.labels, carried=_carried(outcomes, names))
            elif self.request.labels is not None:
                scene = replace(scene, labels=self.scene(self.request, source).labels)
            outcomes.append(self.make(request, scene, overall(part_of(self.progress, number, len(requests)))))
        segments, warnings = combined_segments(outcomes, names)
        last, report = outcomes[-1].after, overall(part_of(self.progress, len(requests) - 1, len(requests)))
        with self.timer.stage("writing"):
            checksum = self.write_image(last.scan, segments, last.labels, "", report)
            for number, outcome in enumerate(outcomes, start=1):
                write_outcome_preview(outcome, self.writer, f"preview{'' if number == 1 else f'-{number:02d}'}.png")
        told = [self._lesion(name, outcome) for name, outcome in zip(names, outcomes, strict=True)]
        warnings += [f"{name}: {text}" for name, outcome in zip(names, outcomes, strict=True) for text in outcome.warnings]
        values: dict[str, Any] = {"warnings": warnings, "source_sha256": source.sha256, "result_sha256": checksum}
        box = told_box(union(outcome.changed for outcome in outcomes))
        self.writer.write_json(self.result(**values, changed=box, more={"lesions": told}))
        overall(self.progress)("writing", 1.0)

    def _lesion(self, name: str, outcome: Outcome) -> dict[str, Any]:
        told = {"name": name, "request": outcome.request.to_dict(), "requested": outcome.requested}
        rest = {"measured": dict(outcome.measured), "warnings": list(outcome.warnings), "candidates": outcome.candidates()}
        return {**told, **rest, "steps": outcome.steps, "changed": told_box(outcome.changed), **outcome.told()}


class Shape(Run):
    """A mask alone, in a scan or without one."""

    def carry_out(self) -> None:
        report = overall(self.progress)
        if self.request.image is None:
            self._alone()
        else:
            self._in_scan(report)
        report("writing", 1.0)

    def _alone(self) -> None:
        overall(self.progress)("shape", 0.0)
        with self.timer.stage("shape"):
            organ = organ_of(self.request, self.models.bundle.domains)
            new = place_alone(self.request, self.models.shapes, organ)
            segments, more = self._segments(new.mask, organ)
        with self.timer.stage("writing"):
            write_segmentation(segments, new.mask.geometry, self.writer.path("segmentation.seg.nrrd"))
        requested, measured = shape_targets(self.request), measure_mask(new.mask.array, new.mask.geometry)
        values: dict[str, Any] = {"requested": requested, "measured": measured, "more": told_place(new.placed)}
        self.writer.write_json(self.result(**values, warnings=[*new.warnings, *more]))

    def _in_scan(self, report: Progress) -> None:
        source = self.source()
        scene = self.scene(self.request, source)
        geometry = scene.scan.geometry
        with self.timer.stage("shape"):
            new = place_in_scan(self.request, scene, self.models.shapes, alive(report, "shape"))
            mask = new.mask.array
            segments, more = self._segments(new.mask, scene.domain.organ)
        if self.show is not None:
            self.show(mask, geometry)
        with self.timer.stage("writing"):
            write_segmentation(segments, geometry, self.writer.path("segmentation.seg.nrrd"))
            window, title = display_window(scene), f"shape | {scene.domain.id}"
            picture = self.writer.path("preview.png")
            at, core = centroid(mask, geometry), segments.get("Core")
            write_preview(picture, scene.scan, scene.scan, None, mask, window, title, at, core)
        requested, measured = shape_targets(self.request), measure_mask(mask, geometry)
        values: dict[str, Any] = {"requested": requested, "measured": measured, "more": told_place(new.placed)}
        found = [*scene.warnings, *new.warnings, *more]
        self.writer.write_json(self.result(**values, warnings=found, source_sha256=source.sha256))

    def _segments(self, mask: Volume, organ: str) -> tuple[dict[str, np.ndarray], list[str]]:
        """The tumor, or its rest and its core where one is asked for."""
        if self.request.core is None:
            return {"Tumor": mask.array}, []
        request = self.request
        assert request.core is not None
        core, warnings = new_core(mask.array, mask.geometry, request.core, self.models.shapes, organ, request.seed)
        return {"Tumor": mask.array & ~core, "Core": core}, warnings


def _texture_of(scene: Scene, mask: np.ndarray, check: Callable[[], None]) -> dict[str, float]:
    """Texture features of a part."""
    return {name: value for name, value in measure(scene, mask, check).items() if not name.startswith("shape_")}


def _carried(outcomes: Sequence[Outcome], names: Sequence[str]) -> dict[str, np.ndarray]:
    """The masks of the lesions so far, to be moved along with the tissue."""
    return combined_segments(outcomes, names[: len(outcomes)])[0]


def _removal_warnings(request: Request) -> list[str]:
    if request.op != "remove":
        return []
    found = ["Removal writes the best guess: one step, one candidate."] if request.candidates > 1 else []
    return found + ([f"Removal is done by the bridge, not by '{request.method}'."] if request.method != "bridge" else [])
