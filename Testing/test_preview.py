"""The preview shows the patient the way a radiologist expects, whatever the storage order of the scan."""

import numpy as np
import pytest
from PIL import Image

from TumorSynthLib.preview import PLANES, render_plane, view_size, write_preview
from TumorSynthLib.volume import Geometry, Volume

AXIAL, CORONAL, SAGITTAL = PLANES
WINDOW = (0.0, 100.0)
CENTER = np.array([5.0, -3.0, 12.0])


def phantom(affine: np.ndarray, shape: tuple[int, int, int]) -> Volume:
    """A dim box with bright markers at patient left (40), anterior (70) and superior (100), 18 mm from the center."""
    geometry = Geometry(shape, affine)
    ras = geometry.to_ras(np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)) - CENTER
    array = np.full(shape, 10, dtype=np.int16)
    for direction, value in (((-1, 0, 0), 40), ((0, 1, 0), 70), ((0, 0, 1), 100)):
        array[np.linalg.norm(ras - 18.0 * np.array(direction), axis=-1) < 6.0] = value
    return Volume(array, geometry)


def centered(columns: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = columns
    affine[:3, 3] = CENTER - columns @ ((np.array(shape) - 1) / 2)
    return affine


def plain() -> Volume:
    return phantom(centered(np.eye(3), (61, 61, 61)), (61, 61, 61))


def where(pixels: np.ndarray, value: int) -> tuple[float, float]:
    """Mean row and column of the pixels that show a stored value, relative to the middle."""
    rows, columns = np.nonzero(np.abs(pixels[..., 0].astype(float) - 2.55 * value) < 3)
    return rows.mean() - (pixels.shape[0] - 1) / 2, columns.mean() - (pixels.shape[1] - 1) / 2


def test_patient_left_is_on_the_right_and_anterior_and_superior_are_up():
    scan = plain()
    axial = render_plane(scan, AXIAL, CENTER, 60.0, WINDOW, 120)
    assert where(axial, 40) == pytest.approx((0.0, 36.0), abs=1.5)
    assert where(axial, 70) == pytest.approx((-36.0, 0.0), abs=1.5)
    coronal = render_plane(scan, CORONAL, CENTER, 60.0, WINDOW, 120)
    assert where(coronal, 40) == pytest.approx((0.0, 36.0), abs=1.5)
    assert where(coronal, 100) == pytest.approx((-36.0, 0.0), abs=1.5)
    sagittal = render_plane(scan, SAGITTAL, CENTER, 60.0, WINDOW, 120)
    assert where(sagittal, 70) == pytest.approx((0.0, -36.0), abs=1.5)
    assert where(sagittal, 100) == pytest.approx((-36.0, 0.0), abs=1.5)


@pytest.mark.parametrize("order", ["LPS", "permuted", "flipped"])
def test_the_storage_order_changes_no_pixel(order):
    scan = plain()
    columns = {
        "LPS": np.diag([-1.0, -1.0, 1.0]),
        "permuted": np.eye(3)[:, [2, 0, 1]],
        "flipped": np.diag([1.0, 1.0, -1.0]),
    }[order]
    stored = phantom(centered(columns, (61, 61, 61)), (61, 61, 61))
    for plane in PLANES:
        assert np.array_equal(
            render_plane(scan, plane, CENTER, 60.0, WINDOW, 121), render_plane(stored, plane, CENTER, 60.0, WINDOW, 121)
        )


def test_an_oblique_anisotropic_scan_shows_the_same_anatomy():
    angle = np.deg2rad(25.0)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    shape = (90, 90, 30)
    oblique = phantom(centered(turn @ np.diag([0.8, 0.8, 2.5]), shape), shape)
    for plane, value in ((AXIAL, 40), (CORONAL, 40), (SAGITTAL, 100)):
        expected = where(render_plane(plain(), plane, CENTER, 60.0, WINDOW, 120), value)
        assert where(render_plane(oblique, plane, CENTER, 60.0, WINDOW, 120), value) == pytest.approx(expected, abs=2.0)


def test_the_view_holds_the_tumor_and_is_never_smaller_than_sixty_millimeters():
    geometry = Geometry((100, 100, 100), np.diag([2.0, 2.0, 2.0, 1.0]))
    small, large = np.zeros((2, 100, 100, 100), dtype=bool)
    small[50, 50, 50] = True
    large[10:90, 40:60, 40:60] = True
    assert view_size(geometry, None, small) == 60.0
    assert view_size(geometry, small, large) >= 1.5 * 160.0
    assert view_size(geometry) == 60.0


def tiles(path) -> np.ndarray:
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return np.stack([[picture[30 + r * 326 :, 6 + c * 326 :][:320, :320] for c in range(3)] for r in range(3)])


def test_the_picture_shows_before_and_after_and_outlines_in_the_last_row_alone(tmp_path):
    before = plain()
    mask = np.zeros(before.array.shape, dtype=bool)
    mask[25:36, 25:36, 25:36] = True
    after = Volume(np.where(mask, 55, before.array).astype(np.int16), before.geometry)
    write_preview(tmp_path / "a.png", before, after, None, mask, WINDOW, "title", CENTER)
    write_preview(tmp_path / "b.png", before, after, None, mask, WINDOW, "title", CENTER)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    shown = tiles(tmp_path / "a.png")
    middle = shown[:, :, 160, 160, 0]
    assert middle[0] == pytest.approx(26, abs=2) and middle[1:] == pytest.approx(140, abs=2)
    yellow = np.all(shown == (255, 205, 60), axis=-1).sum(axis=(2, 3))
    assert np.all(yellow[:2] == 0) and np.all(yellow[2] > 100)


def test_the_mark_is_burned_into_every_synthetic_tile_and_not_into_the_real_scan(tmp_path):
    black = Volume(np.zeros((61, 61, 61), dtype=np.int16), plain().geometry)
    write_preview(tmp_path / "a.png", black, black, None, None, WINDOW, "", CENTER)
    shown = tiles(tmp_path / "a.png")[:, :, 306:, 60:150].max(axis=-1)
    bright = (shown > 150).sum(axis=(2, 3))
    assert np.all(bright[0] == 0) and np.all(bright[1:] > 50)
