"""Draw the README's figure: a CT, a T1 and a brain MR before, with a tumor at three volumes, and with it removed again.

python Testing/make_figure.py DATA Resources/edits.png
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from TumorSynthLib.existing import centroid
from TumorSynthLib.outcome import display_window
from TumorSynthLib.pipeline import Editor
from TumorSynthLib.preview import PLANES, render_plane
from TumorSynthLib.protocol import parse_request
from TumorSynthLib.scene import read_scene, read_source
from TumorSynthLib.volume_io import read_mask, read_volume

TILE = 240
"""Edge of a picture in pixels."""
CASES = (
    ("CT, thigh", "soft_tissue_sarcoma/STS_013_CT.nii.gz", "soft-tissue-ct", None, (5.0, 20.0, 60.0), {}),
    ("T1, thigh", "soft_tissue_sarcoma/STS_013_MR_T1.nii.gz", "soft-tissue-t1", None, (5.0, 20.0, 60.0), {}),
    ("T1, brain", "colin27/COLIN27_T1.nii.gz", "brain-t1", (-27.0, -6.0, 32.0), (3.0, 10.0, 30.0), {}),
)
"""Title, test image, domain, place in RAS mm (None: the healthy tissue farthest from anything else), volumes in mL, texture."""


def main() -> None:
    """Run the edits and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="data folder with images/")
    parser.add_argument("out", type=Path, help="PNG to write")
    options = parser.parse_args()
    editor = Editor("base", "cpu")
    with tempfile.TemporaryDirectory() as folder:
        rows = [draw_case(editor, options.data / "images", Path(folder), *case) for case in CASES]
    picture = Image.fromarray(np.concatenate(rows))
    picture.save(options.out)


def draw_case(
    editor: Editor,
    images: Path,
    folder: Path,
    title: str,
    image: str,
    domain: str,
    at: tuple[float, float, float] | None,
    volumes: tuple[float, ...],
    texture: dict[str, float],
) -> np.ndarray:
    """One row of the figure as RGB pixels."""
    scan = images / image
    place = at or quiet_place(scan)
    base = {"schema": 1, "image": str(scan), "domain": domain, "seed": 4}
    results = []
    for volume in volumes:
        out = folder / f"{title}-{volume:g}"
        values = {**base, "op": "insert", "at": place, "shape": {"volume_ml": volume}, "texture": texture, "out": str(out)}
        results.append(editor.run(parse_request(values)))
    last = results[-1]
    mask = str(last / "segmentation.seg.nrrd")
    values = {**base, "op": "remove", "image": str(last / "image.nrrd"), "mask": mask, "out": str(folder / f"{title}-removed")}
    removed = editor.run(parse_request(values))
    request = parse_request({**base, "op": "insert", "at": place, "out": "unused"})
    scene = read_scene(request, editor.bundle, read_source(str(scan)))
    center = centroid(read_mask(mask).array, scene.scan.geometry)
    shown = [(f"{title}: before", scene.scan)]
    shown += [(f"{v:g} mL", read_volume(r / "image.nrrd")) for v, r in zip(volumes, results, strict=True)]
    shown += [(f"{volumes[-1]:g} mL removed", read_volume(removed / "image.nrrd"))]
    view = 130.0 if domain.startswith("soft") else 150.0
    tiles = [labeled(render_plane(v, PLANES[0], center, view, display_window(scene), TILE), text) for text, v in shown]
    return np.concatenate(tiles, axis=1)


def labeled(pixels: np.ndarray, text: str) -> np.ndarray:
    """A tile with its label and the mark of a synthetic image."""
    tile = Image.fromarray(pixels)
    draw = ImageDraw.Draw(tile)
    draw.text((6, 4), text, fill=(255, 255, 255), font=ImageFont.load_default(15), stroke_width=2, stroke_fill=(0, 0, 0))
    if "before" not in text:
        draw.text((6, TILE - 18), "SYNTHETIC", fill=(255, 140, 120), font=ImageFont.load_default(12))
    return np.asarray(tile)


def quiet_place(scan: Path) -> tuple[float, float, float]:
    """The point of soft tissue that is farthest from other tissue, from the tumor and from the border, RAS mm."""
    from scipy import ndimage

    volume = read_volume(scan)
    tumor = read_volume(scan.with_name(scan.name.replace(".nii.gz", "_mask.nii.gz"))).array > 0
    values = volume.array.astype(np.float32)
    inside = (values > -50) & (values < 150) if volume.array.min() < -500 else values > 0.25 * np.percentile(values, 99)
    inside = ndimage.binary_closing(inside, iterations=2) & ~tumor
    inside[:8] = inside[-8:] = False
    inside[:, :8] = inside[:, -8:] = False
    inside[:, :, :6] = inside[:, :, -6:] = False
    distance = ndimage.distance_transform_edt(inside, sampling=volume.geometry.spacing)
    place = volume.geometry.to_ras(np.array(np.unravel_index(int(distance.argmax()), distance.shape)))
    return (float(place[0]), float(place[1]), float(place[2]))


if __name__ == "__main__":
    main()
