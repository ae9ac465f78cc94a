"""From a data folder to a training file: what is in it, whose it is, and where it lies."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_data
from scipy import ndimage

from TumorSynthLib.configs import TEXTURE_TOKENS, WorkConfig
from TumorSynthLib.dataset import (
    CORE,
    HEALTHY,
    PART,
    REST,
    TUMOR,
    TrainingData,
    load_training_data,
    save_training_data,
    shapes_file,
)
from TumorSynthLib.errors import DataError
from TumorSynthLib.index import domain_of, read_index
from TumorSynthLib.train.prepare import Plan, ShapeBank, draw_regions, prepare, read_image
from TumorSynthLib.train.subregions import DEPTH_SHARES, core_of, deepest, subregion_file
from TumorSynthLib.volume import Geometry
from TumorSynthLib.volume_io import read_volume

PLAN = Plan(tumor=2, part=1, healthy=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_data.write_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def written(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training file, made by two worker processes."""
    path = tmp_path_factory.mktemp("out") / "train.npz"
    prepare(folder, "train", path, PLAN, processes=2)
    return path


@pytest.fixture(scope="module")
def data(written: Path) -> TrainingData:
    return load_training_data(written)


def test_patients_of_other_splits_never_appear(data: TrainingData) -> None:
    expected = [
        tiny_data.patient(False, 0),
        tiny_data.patient(False, 1),
        tiny_data.patient(True, 0),
        tiny_data.patient(False, 2),
    ]
    assert [image.patient for image in data.images] == expected
    assert [image.domain.id for image in data.images] == [
        "soft-tissue-ct",
        "soft-tissue-t1",
        "soft-tissue-ct",
        "soft-tissue-pet",
    ]


def test_the_shapes_of_other_splits_and_the_context_files_are_left_alone(folder: Path) -> None:
    train, test = ShapeBank(folder, "train"), ShapeBank(folder, "test")
    assert len(train.items) == len(test.items) == 3
    volumes = [{float(values.sum()) for values in bank.items} for bank in (train, test)]
    assert volumes[0].isdisjoint(volumes[1])


def test_the_same_seed_gives_the_same_file_whatever_the_number_of_processes(
    folder: Path, written: Path, tmp_path: Path
) -> None:
    again = tiny_data.training_data(folder, WorkConfig(), PLAN)
    save_training_data(tmp_path / written.name, again)
    assert (tmp_path / written.name).read_bytes() == written.read_bytes()


def test_another_seed_draws_other_regions(folder: Path) -> None:
    row = read_index(folder, "train")[0]
    image, bank = read_image(folder, row), ShapeBank(folder, "train")
    labels = tiny_data.labels()
    drawn = [
        [d.box for d in draw_regions(image, labels == 1, labels > 9, labels > 1, bank, replace(PLAN, seed=seed))]
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_stored_images_hold_domain_values(folder: Path, data: TrainingData) -> None:
    assert np.array_equal(data.images[0].counts, tiny_data.image("CT", 0)) and data.images[0].step == 1.0
    pet = data.images[3]
    assert np.abs(pet.counts * pet.step - tiny_data.image("PET-FDG", 3)).max() <= pet.step
    mr, raw = data.images[1], tiny_data.image("MR-T1", 1)
    u = mr.counts * mr.step
    assert float(np.mean(u[raw > 0] > 100.0)) == pytest.approx(0.005, abs=0.002)
    assert np.allclose(data.images[0].geometry.affine[:3, 3], (40.0, -25.0, -310.0)), "LPS files become RAS"


def test_every_kind_of_region_is_there_where_it_can_be(data: TrainingData) -> None:
    for number, has_tumor in enumerate([True, True, True, False]):
        kinds = [region.kind for region in data.regions if region.image == number]
        assert kinds.count(TUMOR) == (2 if has_tumor else 0)
        assert kinds.count(PART) <= (1 if has_tumor else 0)
        assert kinds.count(HEALTHY) == 2


def test_features_are_those_of_the_tissue_and_finite(data: TrainingData) -> None:
    columns = [data.names.index(name) for name in TEXTURE_TOKENS]
    assert np.all(np.isfinite(data.features[:, columns]))
    inside = tiny_data.labels() == 1
    mean = data.names.index("firstorder_Mean")
    for region, row in zip(data.regions, data.features, strict=True):
        if region.kind == TUMOR:
            u = data.images[region.image].counts * data.images[region.image].step
            assert float(row[mean]) == pytest.approx(float(u[inside].mean()), rel=1e-3)


def test_masks_have_their_volume_and_lie_inside_the_working_grid(data: TrainingData) -> None:
    for index, region in enumerate(data.regions):
        mask = data.mask(index)
        tolerance = 0.2 if region.kind in (CORE, REST) else 0.15  # some are one voxel thin
        assert mask.sum() * region.spacing**3 == pytest.approx(region.volume_mm3, rel=tolerance)
        rim = np.ones_like(mask)
        rim[3:-3, 3:-3, 3:-3] = False
        assert not mask[rim].any(), "there is healthy tissue on every side"


def test_patch_and_mask_show_the_same_place_also_when_flipped(data: TrainingData) -> None:
    mean = data.names.index("firstorder_Mean")
    chosen = [n for n, region in enumerate(data.regions) if region.kind == TUMOR]
    assert len({data.regions[n].flips for n in chosen}) > 1
    for index in chosen:
        image, mask = data.images[data.regions[index].image], data.mask(index)
        u = image.intensity.from_input(data.patch(index))
        core = ndimage.binary_erosion(mask, iterations=4)
        assert core.any() and float(u[core].mean()) == pytest.approx(float(data.features[index, mean]), abs=8.0)
        assert float(u[core].mean()) > float(u[~ndimage.binary_dilation(mask, iterations=2)].mean()) + 20.0


@pytest.mark.parametrize("row_number", [0, 1], ids=["CT", "MR"])
def test_healthy_regions_never_touch_a_tumor_and_parts_never_leave_it(folder: Path, row_number: int) -> None:
    image, bank = read_image(folder, read_index(folder, "train")[row_number]), ShapeBank(folder, "train")
    labels = tiny_data.labels()
    kinds = []
    core = deepest(labels == 1, image.geometry, 0.3)
    for draw in draw_regions(image, labels == 1, core, labels == 2, bank, Plan(part=6, healthy=40)):
        touched = set(np.unique(labels[draw.box.slices][draw.mask]))
        kinds.append(draw.kind)
        assert touched == {0} if draw.kind == HEALTHY else touched == {1}
    assert kinds.count(HEALTHY) >= 15 and kinds.count(PART) >= 3 and kinds[:3] == [TUMOR, CORE, REST]


def test_core_and_rest_make_up_the_tumor_and_have_features_of_their_own(data: TrainingData) -> None:
    for number in range(3):
        of_image = {region.kind: region for region in data.regions if region.image == number}
        volumes = [of_image[kind].volume_mm3 for kind in (TUMOR, CORE, REST)]
        assert volumes[0] == pytest.approx(volumes[1] + volumes[2])
        assert DEPTH_SHARES[0] - 0.02 <= volumes[1] / volumes[0] <= DEPTH_SHARES[1] + 0.02


def test_the_deepest_part_of_a_ball_is_a_ball_with_the_share_asked_for_in_mm() -> None:
    geometry = Geometry((61, 61, 21), np.diag([1.0, 1.0, 3.0, 1.0]))
    distance = np.linalg.norm((np.stack(np.indices(geometry.shape), -1) - (30, 30, 10)) * geometry.spacing, axis=-1)
    core = deepest(distance <= 24.0, geometry, 1 / 8)
    assert core.sum() == pytest.approx((distance <= 24.0).sum() / 8, rel=0.05)
    assert distance[core].max() <= 12.0 + 3.0 and not core[distance > 15.0].any()


def test_labeled_subregions_win_over_depth_and_edema_is_not_core(tmp_path: Path) -> None:
    image = tmp_path / "images" / "P_001_FLAIR.nii.gz"
    tumor = tiny_data.labels() == 1
    labels = np.where(tumor, 2, 0).astype(np.uint8)
    labels[20:25, 18:23, 8:12] = [[[1, 3, 4, 4]]]
    tiny_data.write(image.with_name("P_001_subregions.nii.gz"), labels)
    row = {"file": "images/P_001_FLAIR.nii.gz"}
    assert subregion_file(tmp_path, row) == image.with_name("P_001_subregions.nii.gz")
    geometry = read_volume(image.with_name("P_001_subregions.nii.gz")).geometry
    core = core_of(tmp_path, row, tumor, geometry, np.random.default_rng(0))
    assert np.array_equal(core, tumor & np.isin(labels, (1, 3, 4)))
    assert subregion_file(tmp_path, {"file": "images/P_002_FLAIR.nii.gz"}) is None


def test_a_drawn_shape_has_the_volume_asked_for_whatever_the_grid(folder: Path) -> None:
    bank, rng = ShapeBank(folder, "train"), np.random.default_rng(0)
    for spacing in ((1.0, 1.0, 1.0), (0.8, 0.8, 3.0)):
        geometry = Geometry((90, 90, 40), np.diag([*spacing, 1.0]))
        center = geometry.to_ras(np.array([45.0, 45.0, 20.0]))
        mask, box = bank.draw(rng, geometry, center, 10.0)
        assert mask.sum() * geometry.voxel_volume_mm3 == pytest.approx(4 / 3 * np.pi * 1000.0, rel=0.06)
        middle = geometry.to_ras(np.argwhere(mask).mean(axis=0) + box.start)
        assert np.abs(middle - center).max() < max(spacing)


def test_the_shapes_of_the_split_are_written_beside_the_training_file(written: Path) -> None:
    with np.load(shapes_file(written), allow_pickle=False) as file:
        patients, fields = file["patients"], file["fields"]
    assert sorted(patients) == [f"kits23_tumor_train_patient_{n}" for n in range(3)], "the one cut by its scan is left out"
    assert len(fields) == 3


def test_images_alone_need_no_shapes(folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("shapes"))
    with pytest.raises(DataError) as caught:
        prepare(bare, "train", tmp_path / "x.npz", PLAN, processes=0)
    assert caught.value.code == "data.shapes" and not (tmp_path / "x.npz").exists()
    only = prepare(bare, "test", tmp_path / "images.npz", regions=False, processes=0)
    assert [image.patient for image in only.images] == ["TEST_001"] and only.regions == ()
    assert load_training_data(tmp_path / "images.npz").masks.shape[0] == 0


def test_a_folder_without_index_and_a_split_without_images_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_index(tmp_path, "train")
    assert caught.value.code == "data.index"
    with pytest.raises(DataError, match="test, train") as caught:
        read_index(folder, "validation")
    assert caught.value.code == "data.split"


@pytest.mark.parametrize(
    ("organ", "modality", "domain"),
    [
        ("soft tissue (extremity)", "CT", "soft-tissue-ct"),
        ("soft tissue (extremity)", "MR-T1", "soft-tissue-t1"),
        ("soft tissue (extremity)", "PET-FDG", "soft-tissue-pet"),
        ("lung", "CT", "lung-ct"),
        ("kidney", "CT", "abdomen-ct"),
        ("head and neck", "PET-FDG", "head-neck-pet"),
        ("breast", "MR-DCE-post1", "breast-dce"),
        ("brain", "MR-FLAIR", "brain-flair"),
        ("brain", "MR-T1c", "brain-t1c"),
    ],
)
def test_every_organ_and_modality_has_its_domain(organ: str, modality: str, domain: str) -> None:
    assert domain_of({"id": "x", "organ": organ, "modality": modality}).id == domain


def test_an_unknown_brain_sequence_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"MR-SWI.*case-7"):
        domain_of({"id": "case-7", "organ": "brain", "modality": "MR-SWI"})
