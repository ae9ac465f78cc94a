"""The candidates of one texture edit: each is sampled, finished and measured, and the next learns from it."""

from collections.abc import Callable
from dataclasses import replace

from TumorSynthLib.aim import Aim
from TumorSynthLib.configs import WorkConfig
from TumorSynthLib.edit import Candidate, Prediction, TextureEdit, asking, edit_region, without_blurred_border, work_task
from TumorSynthLib.finishing import finish
from TumorSynthLib.healing import continued
from TumorSynthLib.resample import resample
from TumorSynthLib.scene import Scene
from TumorSynthLib.texture import Sampling, TextureModel


def edit_texture(
    scene: Scene,
    edit: TextureEdit,
    model: TextureModel,
    sampling: Sampling,
    progress: Callable[[str, float], None],
) -> list[Candidate]:
    """Finished candidates, the best measured first. Each is asked for what the ones before it missed; see ``Aim``.

    Parameters
    ----------
    scene : scan and domain.
    edit : region and what is asked.
    model : warm networks.
    sampling : steps, guidance and one seed per candidate.
    progress : called with a stage and the share of it that is done.
    """
    if edit.features is None:
        edit = without_blurred_border(scene, edit)
    task, grid = work_task(scene, edit, WorkConfig())
    region = edit_region(scene, edit)
    start = scene.intensity.from_input(model.filled(task)) if edit.features is None else None
    scales = model.scales[task.domain.id]
    aim = Aim(task.features, edit.features, scales)
    found: list[Candidate] = []
    for number, seed in enumerate(sampling.seeds):
        sampled, finished = _reports(progress, number, len(sampling.seeds))
        v = model.synthesize(asking(task, scene, aim.features), replace(sampling, seeds=(seed,)), sampled)[0]
        u = scene.intensity.from_input(v)
        if start is None:
            u = resample(u, grid, region.geometry, smooth=False)
        else:
            weight = model.removal_weights[scene.domain.id]
            change = weight * resample(u - start, grid, region.geometry, smooth=False)
            u = continued(
                region.u, region.mask, region.geometry.spacing, change, task.spacing, lambda: progress("sampling", 1.0)
            )
        candidate = finish(scene, edit, region, Prediction(u, task.spacing, seed), scales, finished)
        aim.correct(candidate.measured)
        found.append(candidate)
    return sorted(found, key=lambda candidate: candidate.distance)


def _reports(progress: Callable[[str, float], None], number: int, count: int) -> tuple[Callable[[float], None], ...]:
    """Progress of sampling and of compositing one of several candidates; but the last they count as sampling altogether."""

    def sampled(share: float) -> None:
        progress("sampling", (number + share) / count)

    def finished(share: float) -> None:
        if number + 1 < count:
            progress("sampling", (number + 1) / count)
        else:
            progress("compositing", share)

    return sampled, finished
