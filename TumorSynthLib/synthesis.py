"""From a target to a finished scan: heal what has to go, make room, synthesize part by part, measure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.candidates import edit_texture
from TumorSynthLib.edit import Candidate, TextureEdit
from TumorSynthLib.joint_insertion import likely_volume, tumors_in_box
from TumorSynthLib.neighborhood import displaced, relaxed, with_rim
from TumorSynthLib.placing import box_of
from TumorSynthLib.protocol import Request, shape_targets
from TumorSynthLib.scene import Scene, inside_box
from TumorSynthLib.targets import Part, Target
from TumorSynthLib.texture import Sampling, TextureModel
from TumorSynthLib.tissue_beside import REACH_MM, dark_tissue
from TumorSynthLib.typical import among, complete_core, complete_texture, follow
from TumorSynthLib.volume import mask_box

StageProgress = Callable[[str, float], None]
"""Called with a stage and the share of it that is done; may raise ``Cancelled``."""


@dataclass(frozen=True, eq=False)
class Made:
    """What was made of one part, or of the region that was healed."""

    part: Part
    """The part."""
    drawn: Mapping[str, float]
    """Features that nobody asked for, from a real tumor."""
    candidates: list[Candidate]
    """The finished candidates, the kept one first."""

    def told(self) -> list[dict[str, Any]]:
        """The candidates for ``result.json``, with the noise and grain that were chosen for each."""
        kept = self.candidates[0]
        return [
            {"seed": c.seed, "distance": c.distance, "kept": c is kept, "noise": c.noise, "grain": c.grain}
            for c in self.candidates
        ]


@dataclass(frozen=True, eq=False)
class Synthesis:
    """A finished edit."""

    scene: Scene
    """The edited scan, with the label map as far as there is one."""
    made: list[Made]
    """What was made, in the order in which it was made."""
    steps: int
    """Sampling steps that were taken."""
    warnings: list[str]
    """What could not be met."""


def candidate_seeds(seed: int, count: int, part: int = 0) -> list[int]:
    """Independent seeds of the candidates of a part; the first ones do not depend on how many there are."""
    own = (part,) if part else ()
    return [int(np.random.SeedSequence((seed, number, *own)).generate_state(1)[0]) for number in range(count)]


class Synthesizer:
    """Carries out targets.

    Parameters
    ----------
    bundle : of the networks.
    texture : its warm networks.
    """

    def __init__(self, bundle: Bundle, texture: TextureModel) -> None:
        self.bundle, self.texture = bundle, texture

    def healed(self, request: Request, scene: Scene, mask: np.ndarray, progress: StageProgress) -> Synthesis:
        """The scene with a region replaced by healthy tissue, after the tissue around it has come back into its place.

        Healthy tissue is asked for nothing, so one step is the posterior mean: the best guess of what was there. Samples
        hallucinate enhancing tissue where the surroundings leave much open.
        """
        scene, hole, warnings = relaxed(scene, mask, request.mass_effect)
        edit = TextureEdit(hole, None, noise=request.noise)
        candidates = edit_texture(scene, edit, self.texture, Sampling(1, 1.0, candidate_seeds(request.seed, 1)), progress)
        made = Made(Part("healed", hole, {}, None), {}, candidates)
        scene = replace(scene, scan=candidates[0].apply(scene.scan))
        return Synthesis(scene, [made], 1, [*warnings, *candidates[0].warnings])

    def tumor(self, request: Request, scene: Scene, target: Target, progress: StageProgress) -> Synthesis:
        """The scene with a tumor in it: room is made, the rim is laid around it, then its parts follow one on the other.

        A core is made inside the finished rest, which it then continues at its border as the rest continues the organ.
        """
        stays = request.op == "edit" and target.replaced is None
        scene, warnings = displaced(scene, target.mask, 0.0 if stays else request.mass_effect)
        if stays and request.mass_effect > 0.0:
            warnings = ["There is no further mass effect: the tumor keeps its place and form."]
        looks = self._drawn(request, scene, target)
        mean = {**looks[0], **target.parts[0].asked}.get("firstorder_Mean")
        scene, more = with_rim(scene, target.mask, request.rim, self.bundle, mean)
        warnings = [*warnings, *more]
        made = []
        both = not any(part.kept for part in target.parts)
        for number, (part, drawn) in enumerate(zip(target.parts, looks, strict=True)):
            if part.kept:
                continue
            mask = target.mask if part.name == "rest" and both else part.mask
            typical = part.known is None
            edit = TextureEdit(mask, dict(part.asked), request.noise, drawn=drawn, judged=part.mask, typical=typical)
            seeds = candidate_seeds(request.seed, request.candidates, number)
            report = _share(progress, number, len(target.parts))
            sampling = Sampling(request.steps, request.guidance, seeds, method=request.method)
            candidates = edit_texture(scene, edit, self.texture, sampling, report)
            scene = replace(scene, scan=candidates[0].apply(scene.scan))
            made.append(Made(part, drawn, candidates))
            warnings += [*candidates[0].warnings, *self._untold(part)]
        return Synthesis(scene, made, request.steps, warnings)

    def in_box(self, request: Request, scene: Scene, progress: StageProgress) -> tuple[Target, Synthesis]:
        """The scan with a tumor whose mask the network makes as well, and that mask as the target; see ``tumors_in_box``."""
        seeds = candidate_seeds(request.seed, request.candidates)
        domain = scene.appearance.id
        here = self._here(scene, lambda: inside_box(box_of(request), scene.scan.geometry, None))
        exemplars, scales = [here(one) for one in self.bundle.exemplars(domain)], self.texture.scales[domain]
        drawn = complete_texture(scene.texture, likely_volume(request), exemplars, scales, request.seed)
        found = tumors_in_box(request, scene, self.texture, seeds, drawn, progress)
        best = found[0]
        part = Part("tumor", best.mask, scene.texture, None)
        shape = shape_targets(request)
        target = Target(best.mask, (part,), None, shape, [])
        made = Made(part, drawn, [tumor.candidate for tumor in found])
        scene = replace(scene, scan=best.candidate.apply(scene.scan))
        warnings = [*best.warnings, *best.candidate.warnings, *self._untold(part), *self._unsteered(shape)]
        return target, Synthesis(scene, [made], request.steps, warnings)

    def _drawn(self, request: Request, scene: Scene, target: Target) -> list[dict[str, float]]:
        """For each part the features that nobody asked for: those of the tumor that was there, or of a typical one."""
        domain = scene.appearance.id
        scales = self.texture.scales[domain]
        voxel = scene.scan.geometry.voxel_volume_mm3
        volumes = [float(part.mask.sum()) * voxel for part in target.parts]
        known = [None if part.known is None else follow(part.known, part.asked) for part in target.parts]
        here = self._here(scene, lambda: target.mask)
        if len(target.parts) == 1:
            part = target.parts[0]
            first = known[0]
            if first is None:
                exemplars = [here(one) for one in self.bundle.exemplars(domain)]
                first = complete_texture(part.asked, volumes[0], exemplars, scales, request.seed)
            return [first]
        rest, core = target.parts
        pairs = [{side: here(one) for side, one in pair.items()} for pair in self.bundle.part_exemplars(domain)]
        like = rest.asked if rest.known is None else {**rest.known, **rest.asked}
        typical = complete_core(like, core.asked, (volumes[0], volumes[1]), pairs, scales, request.seed)
        return [drawn if there is None else there for there, drawn in zip(known, typical, strict=True)]

    def _here(self, scene: Scene, where: Callable[[], np.ndarray]) -> Callable[[Mapping[str, float]], dict[str, float]]:
        """What moves an exemplar as far as the tissue around a mask asks for; the mask is made where that matters alone."""
        share = self.bundle.follows_tissue(scene.appearance.id)
        if share == 0.0:
            return dict
        scan, mask = scene.scan, where()
        near = mask_box(mask).expanded((REACH_MM + 1.0) / scan.geometry.spacing, mask.shape).slices
        dark = dark_tissue(scene.intensity.normalize(scan.array[near]), mask[near], scan.geometry.spacing, scene.domain)
        return lambda exemplar: among(exemplar, share, dark)

    def _untold(self, part: Part) -> list[str]:
        """What was asked for and cannot be steered directly."""
        without = [name for name in part.asked if name not in self.texture.config.tokens]
        if not without:
            return []
        return [f"The model has no token for {', '.join(without)}; only the choice among candidates steers them."]

    def _unsteered(self, shape: Mapping[str, float]) -> list[str]:
        """Shape features that a network which makes the mask itself does not know."""
        without = [name for name in shape if name not in self.texture.shape_scales]
        return [f"The method 'flow' has no token for {', '.join(without)}; nothing steers them."] if without else []


def _share(progress: StageProgress, number: int, count: int) -> StageProgress:
    """Progress within a stage of one of several parts."""
    return lambda stage, share: progress(stage, (number + share) / count)
