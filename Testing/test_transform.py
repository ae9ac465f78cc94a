"""``InsertTumord`` in a MONAI pipeline: nothing outside the tumor changes, the same state gives the same bytes."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import Compose, EnsureTyped, ScaleIntensityRanged
from phantoms import phantom

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.errors import ImageError, RequestError
from TumorSynthLib.insertion import InsertionSettings
from TumorSynthLib.transform import InsertTumord
from TumorSynthLib.tumor_draws import VOLUME, Wishes
from TumorSynthLib.volume import Volume

VOLUMES = (1_000.0, 4_000.0)
SETTINGS = InsertionSettings(Wishes(shape={VOLUME: VOLUMES}), steps=2)


def item(kind: str = "plain", dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    scan = phantom(kind)
    image = MetaTensor(
        torch.from_numpy(scan.array.copy())[None].to(dtype), affine=torch.from_numpy(scan.geometry.affine.copy())
    )
    label = torch.zeros((1, *scan.array.shape), dtype=torch.uint8)
    return {"image": image, "label": label, "name": "phantom"}


@pytest.fixture(scope="module")
def folder(tiny_bundle: Bundle) -> Path:
    return tiny_bundle.path


def transform(folder: Path, seed: int = 0, **more: Any) -> InsertTumord:
    more = {"domain": "soft-tissue-ct", "prob": 1.0, "settings": SETTINGS, "told_key": "told", **more}
    return InsertTumord("image", "label", bundle=folder, **more).set_random_state(seed)


@pytest.mark.parametrize("kind", ["plain", "thick", "oblique, left-handed"])
def test_a_tumor_is_inserted_and_nothing_else_changes(folder: Path, kind: str) -> None:
    before = item(kind)
    after = transform(folder)(before)
    assert isinstance(after["image"], MetaTensor) and torch.equal(after["image"].affine, before["image"].affine)
    assert after["image"].dtype == torch.float32 and after["label"].dtype == torch.uint8 and after["name"] == "phantom"
    tumor, changed = after["label"][0] == 1, after["image"][0] != before["image"][0]
    (start, stop) = after["told"]["box"]
    inside = torch.zeros_like(tumor)
    inside[start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]] = True
    assert changed.any() and not changed[~inside].any() and tumor.any() and not tumor[~inside].any()
    assert int(tumor.sum()) == after["told"]["voxels"] and changed[tumor].float().mean() > 0.5
    volume = float(tumor.sum()) * Volume(phantom(kind).array, phantom(kind).geometry).geometry.voxel_volume_mm3
    assert volume == pytest.approx(after["told"]["shape"][VOLUME], rel=0.05)
    assert VOLUMES[0] * 0.9 <= volume <= VOLUMES[1] * 1.1
    assert not before["label"].any(), "the item that came in stays as it is"


@pytest.mark.parametrize("more", [{"method": "diffusion", "handmade": "small"}, {"method": "flow"}], ids=str)
def test_other_methods_and_hand_made_shapes_are_inserted_too(folder: Path, more: dict[str, Any]) -> None:
    before = item()
    after = transform(folder, settings=replace(SETTINGS, **more))(before)
    plain = transform(folder)(before)
    tumor, changed = after["label"][0] == 1, after["image"][0] != before["image"][0]
    volume = float(tumor.sum()) * phantom("plain").geometry.voxel_volume_mm3
    assert volume == pytest.approx(after["told"]["shape"][VOLUME], rel=0.02)
    assert changed[tumor].float().mean() > 0.5 and not torch.equal(after["image"], plain["image"])
    (start, stop) = after["told"]["box"]
    changed[start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]] = False
    assert not changed.any()


def test_a_bundle_without_the_method_is_told_before_any_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bundle, "methods", ("bridge",))
    with pytest.raises(RequestError, match="Available: bridge"):
        transform(folder, settings=replace(SETTINGS, method="flow"))(item())


def test_the_tumor_is_where_it_is_said_to_be_in_millimeters(folder: Path) -> None:
    after = transform(folder, 3)(item("oblique, left-handed"))
    middle = np.argwhere(after["label"][0].numpy() == 1).mean(axis=0)
    assert np.allclose(phantom("oblique, left-handed").geometry.to_ras(middle), after["told"]["at"], atol=1.5)


def test_the_same_state_gives_the_same_bytes_and_another_one_another_tumor(folder: Path) -> None:
    first, second, other = (transform(folder, seed)(item()) for seed in (7, 7, 8))
    assert torch.equal(first["image"], second["image"]) and torch.equal(first["label"], second["label"])
    assert not torch.equal(first["label"], other["label"])
    state = torch.get_rng_state()
    transform(folder)(item())
    assert torch.equal(state, torch.get_rng_state()), "nobody else's numbers are used"


def test_labels_in_lps_mean_the_same_place(folder: Path) -> None:
    ras, lps = item(), item()
    lps["image"].affine = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=torch.float64)) @ lps["image"].affine
    lps["image"].meta["space"] = "LPS"
    first, second = (transform(folder)(one) for one in (ras, lps))
    assert np.allclose(first["told"]["at"], second["told"]["at"]) and torch.equal(first["label"], second["label"])


def test_it_stays_inside_the_region_and_keeps_clear_of_tumors_that_are_there(folder: Path) -> None:
    start = item()
    start["label"][0, 20:50, 14:44, 6:34] = 2
    start["label"][0, 30:34, 26:30, 18:22] = 3
    organ, there = start["label"] == 2, start["label"] == 3
    after = transform(folder, label_value=3, region_key="label", region_label=2)(start)
    new = (after["label"] == 3) & ~there
    assert new.any() and not (new & ~organ).any()
    assert torch.equal(after["label"][~new], start["label"][~new])


def test_without_a_place_or_by_chance_the_item_comes_back_as_it_is(folder: Path) -> None:
    start = item()
    start["label"][:] = 1
    for one in (transform(folder)(start), transform(folder, prob=0.0)(item())):
        assert one["told"] == {} and torch.equal(one["image"], start["image"])
    done = [bool(transform(folder, seed, prob=0.5)(item())["told"]) for seed in range(6)]
    assert 0 < sum(done) < 6


def test_it_takes_plain_arrays_as_one_millimeter(folder: Path) -> None:
    scan = phantom()
    after = transform(folder)({"image": scan.array[None], "label": np.zeros((1, *scan.array.shape), np.int16)})
    assert isinstance(after["image"], np.ndarray) and after["image"].dtype == np.int16 and after["label"].dtype == np.int16
    assert float((after["label"] == 1).sum()) == pytest.approx(after["told"]["shape"][VOLUME], rel=0.05)


def test_other_shapes_are_refused(folder: Path) -> None:
    two = {"image": torch.zeros(2, 16, 16, 16), "label": torch.zeros(2, 16, 16, 16)}
    with pytest.raises(ImageError, match="expected"):
        transform(folder)(two)


def test_it_composes_and_works_in_the_workers_of_a_loader(folder: Path) -> None:
    chain = Compose(
        [transform(folder), ScaleIntensityRanged("image", -160, 240, 0, 1, clip=True), EnsureTyped(("image", "label"))]
    )
    chain.set_random_state(11)
    one = chain(item())
    assert float(one["image"].min()) >= 0.0 and float(one["image"].max()) <= 1.0 and (one["label"] == 1).any()
    sent = pickle.loads(pickle.dumps(transform(folder)))
    assert sent._inserter is None and (sent(item())["label"] == 1).any()
    loader = DataLoader(Dataset([item(), item()], transform(folder, told_key=None)), batch_size=2, num_workers=1)
    (batch,) = list(loader)
    counts = [(label == 1).sum().item() for label in batch["label"]]
    assert batch["image"].shape[0] == 2 and min(counts) > 0
