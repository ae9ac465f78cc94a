"""The method ``flow`` and samples that are no tumor: a speck in one of them must not spoil the others."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from phantoms import middle, phantom, request

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.errors import GeometryError
from TumorSynthLib.joint_insertion import tumors_in_box
from TumorSynthLib.scene import read_scene, read_source
from TumorSynthLib.texture import Sampling, Task, TextureModel

BOX = 8.0


@pytest.fixture(scope="module")
def scales(tiny_bundle: Bundle) -> TextureModel:
    return TextureModel(tiny_bundle, "cpu")


def model_that_makes(scales: TextureModel, *voxels: int | None) -> TextureModel:
    """A stand-in whose samples have a soft mask of so many voxels in a row, or, for None, of the whole box."""

    def joint(task: Task, sampling: Sampling, progress: Any = None) -> tuple[np.ndarray, np.ndarray]:
        soft = np.stack([task.mask.astype(np.float32) for _ in voxels])
        middle_of_grid = task.mask.shape[0] // 2
        for one, count in zip(soft, voxels, strict=True):
            if count is not None:
                one[:] = 0.0
                one[middle_of_grid : middle_of_grid + count, middle_of_grid, middle_of_grid] = 1.0
        return np.stack([task.v] * len(voxels)), soft

    return cast(TextureModel, SimpleNamespace(joint=joint, scales=scales.scales, shape_scales=scales.shape_scales))


@pytest.mark.parametrize("asked", [{}, {"texture": {"glcm_Contrast": 3.0}}, {"shape": {"sphericity": 0.7}}])
def test_a_speck_of_one_voxel_is_no_tumor(
    scan: Path, tiny_bundle: Bundle, scales: TextureModel, tmp_path: Path, asked: dict[str, Any]
) -> None:
    at = middle(phantom())
    wanted = request("insert", scan, tmp_path / "out", method="flow", box=[(at - BOX).tolist(), (at + BOX).tolist()], **asked)
    scene = read_scene(wanted, tiny_bundle, read_source(str(scan)))
    found = tumors_in_box(wanted, scene, model_that_makes(scales, 1, None), [1, 2], {}, lambda stage, share: None)
    assert [tumor.candidate.seed for tumor in found] == [2] and found[0].mask.sum() > 100
    with pytest.raises(GeometryError, match="no tumor in the box"):
        tumors_in_box(wanted, scene, model_that_makes(scales, 1, 0), [1, 2], {}, lambda stage, share: None)
