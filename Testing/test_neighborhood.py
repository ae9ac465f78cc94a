"""Whole edits with mass effect and rim: what moves, what stays, and what goes along."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantoms import ball, insert, middle, request
from scipy import ndimage

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.errors import RequestError
from TumorSynthLib.pipeline import Editor
from TumorSynthLib.volume import Volume
from TumorSynthLib.volume_io import read_mask, read_volume, write_volume

RIM = {"contrast": 30.0, "width_mm": 3.0, "near_mm": [1.0, 4.0], "share": None, "tumors": 9, "lender": "", "reason": ""}


@pytest.fixture(scope="module")
def editor(tiny_bundle: Bundle) -> Editor:
    """An editor whose bundle knows a rim of 30 HU."""
    domains = [{**entry, "rim": RIM} for entry in tiny_bundle.info["domains"]]
    return Editor(replace(tiny_bundle, info={**tiny_bundle.info, "domains": domains}), "cpu")


def result(folder: Path) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Image, tumor and telling of a result."""
    told = json.loads((folder / "result.json").read_text())
    return read_volume(folder / "image.nrrd").array, read_mask(folder / "segmentation.seg.nrrd").array, told


def beyond(mask: np.ndarray, scan: Path, mm: float) -> np.ndarray:
    """Voxels farther from a mask than a distance."""
    spacing = tuple(read_volume(scan).geometry.spacing)
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=spacing) > mm)


def test_with_mass_effect_and_rim_far_voxels_stay_the_same_and_near_ones_change(
    editor: Editor, scan: Path, tmp_path: Path
) -> None:
    source = read_volume(scan).array
    plain, mask, _ = result(editor.run(insert(scan, tmp_path / "plain")))
    pushed, same, told = result(editor.run(insert(scan, tmp_path / "pushed", mass_effect=1.0, rim=1.0)))
    np.testing.assert_array_equal(mask, same)
    far = beyond(mask, scan, 10.0)
    np.testing.assert_array_equal(pushed[far], source[far])
    shell = ~mask & ~beyond(mask, scan, 5.0) & beyond(mask, scan, 2.0)
    assert (plain[shell] == source[shell]).mean() > 0.9
    assert (pushed[shell] != source[shell]).mean() > 0.9
    assert any("illustration" in text for text in told["warnings"])


def test_a_marker_is_pushed_outward_and_labels_move_with_it(editor: Editor, scan: Path, tmp_path: Path) -> None:
    source = read_volume(scan)
    marker = ball(source, 4.0, (13.0, 0.0, 0.0)).array
    values = source.array.copy()
    values[marker] += 200
    write_volume(Volume(values, source.geometry), tmp_path / "scan.nrrd")
    write_volume(Volume(marker.astype(np.int16) * 7, source.geometry), tmp_path / "labels.nrrd")
    ask = {"mass_effect": 1.0, "labels": str(tmp_path / "labels.nrrd"), "shape": {"volume_ml": 2.0, "sphericity": 0.8}}
    folder = editor.run(insert(tmp_path / "scan.nrrd", tmp_path / "out", **ask))
    image, mask, _ = result(folder)
    labels = read_volume(folder / "labels.nrrd").array
    assert labels.dtype == np.int16 and set(np.unique(labels)) == {0, 7}
    bright = (image > 150) & ~ndimage.binary_dilation(mask)
    places = [source.geometry.to_ras(np.argwhere(where).mean(axis=0)) for where in (marker, labels == 7, bright)]
    assert places[1][0] > places[0][0] + 0.2, "away from the tumor"
    assert np.linalg.norm(places[2] - places[1]) < 0.8, "image and label moved alike"


def test_without_mass_effect_the_label_map_is_written_as_it_was(editor: Editor, scan: Path, tmp_path: Path) -> None:
    source = read_volume(scan)
    labels = Volume((source.array > 0).astype(np.uint8), source.geometry)
    write_volume(labels, tmp_path / "labels.nrrd")
    folder = editor.run(insert(scan, tmp_path / "out", labels=str(tmp_path / "labels.nrrd")))
    np.testing.assert_array_equal(read_volume(folder / "labels.nrrd").array, labels.array)


def test_removal_with_mass_effect_brings_the_tissue_back(editor: Editor, scan: Path, tmp_path: Path) -> None:
    source = read_volume(scan)
    marker = ball(source, 4.0, (13.0, 0.0, 0.0)).array
    tumor = ball(source, 8.0)
    values = source.array.copy()
    values[marker] += 200
    values[tumor.array] += 60
    write_volume(Volume(values, source.geometry), tmp_path / "scan.nrrd")
    write_volume(tumor, tmp_path / "mask.nrrd")
    ask = {"mask": str(tmp_path / "mask.nrrd"), "mass_effect": 1.0}
    folder = editor.run(request("remove", tmp_path / "scan.nrrd", tmp_path / "out", **ask))
    image, told = read_volume(folder / "image.nrrd").array, json.loads((folder / "result.json").read_text())
    before, after = (np.argwhere(array > 150).mean(axis=0)[0] for array in (values, image))
    assert after < before - 0.2, "towards the place of the tumor"
    far = beyond(tumor.array, scan, 10.0)
    np.testing.assert_array_equal(image[far], values[far])
    assert told["measured"]["firstorder_Mean"] < 90.0


def test_a_rim_has_the_contrast_of_real_ones_in_proportion(editor: Editor, scan: Path, tmp_path: Path) -> None:
    plain, mask, _ = result(editor.run(insert(scan, tmp_path / "plain", texture={"firstorder_Mean": 120.0})))
    near = ~mask & beyond(mask, scan, 1.5) & ~beyond(mask, scan, 4.0)
    contrasts = []
    for strength in (0.5, 1.0):
        ask = {"rim": strength, "texture": {"firstorder_Mean": 120.0}}
        rimmed, _, _ = result(editor.run(insert(scan, tmp_path / f"rim-{strength:g}", **ask)))
        contrasts.append(float(rimmed[near].mean() - plain[near].mean()))
    assert contrasts[1] == pytest.approx(30.0, abs=8.0)
    assert contrasts[0] == pytest.approx(contrasts[1] / 2, abs=1.5)


def test_a_bundle_that_knows_no_rims_refuses_to_make_one(tiny_bundle: Bundle, scan: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="knows nothing about rims"):
        Editor(tiny_bundle, "cpu").run(insert(scan, tmp_path / "out", rim=0.5))


def test_a_rim_of_a_domain_without_one_is_left_out_and_told(tiny_bundle: Bundle, scan: Path, tmp_path: Path) -> None:
    rims = {"soft-tissue-ct": {**RIM, "contrast": 0.0, "reason": "nothing was there"}}
    domains = [{**entry, "rim": rims.get(entry["id"], RIM)} for entry in tiny_bundle.info["domains"]]
    editor = Editor(replace(tiny_bundle, info={**tiny_bundle.info, "domains": domains}), "cpu")
    image, _, told = result(editor.run(insert(scan, tmp_path / "rim", rim=1.0)))
    plain, _, _ = result(editor.run(insert(scan, tmp_path / "plain")))
    np.testing.assert_array_equal(image, plain)
    assert any("nothing was there" in text for text in told["warnings"])


def test_earlier_lesions_move_with_the_tissue(editor: Editor, scan: Path, tmp_path: Path) -> None:
    at = middle(read_volume(scan))
    first = {"name": "first", "at": (at + np.array([13.0, 0.0, 0.0])).tolist(), "shape": {"volume_ml": 0.4}, "mass_effect": 0.0}
    second = {"name": "second", "at": at.tolist(), "shape": {"volume_ml": 2.0, "sphericity": 0.8}}
    alone = editor.run(request("lesions", scan, tmp_path / "one", lesions=[first]))
    both = editor.run(request("lesions", scan, tmp_path / "both", lesions=[first, second], mass_effect=1.0))
    before, after = (read_mask(folder / "segmentation.seg.nrrd", 1).array for folder in (alone, both))
    assert np.argwhere(after).mean(axis=0)[0] > np.argwhere(before).mean(axis=0)[0] + 0.1
