"""The tissue beside tumors, and how far the tumors of a domain follow it."""

from pathlib import Path

import numpy as np
import pytest
from phantoms import insert, with_entries
from test_rim import distances

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import DOMAINS, Domain, WorkConfig
from TumorSynthLib.dataset import TUMOR, Region, TrainImage, TrainingData
from TumorSynthLib.intensity import MEAN
from TumorSynthLib.pipeline import Editor
from TumorSynthLib.result import read_result
from TumorSynthLib.tissue_beside import REACH_MM, dark_tissue
from TumorSynthLib.train.rim_statistics import finest_views
from TumorSynthLib.train.tissue_statistics import FEWEST_TUMORS, dark_tissues, follows_tissue
from TumorSynthLib.typical import BESIDE, VOLUME
from TumorSynthLib.volume import Geometry, work_grid

DOMAIN = {domain.id: domain for domain in DOMAINS}
CT, T1 = DOMAIN["soft-tissue-ct"], DOMAIN["soft-tissue-t1"]
ISO = Geometry((60, 60, 60), np.eye(4))
MASK = distances(ISO, (29.5, 29.5, 29.5)) <= 6.0


def test_a_tenth_of_the_tissue_beside_is_darker() -> None:
    u = np.random.default_rng(0).uniform(0.0, 100.0, ISO.shape)
    assert dark_tissue(u, MASK, ISO.spacing, CT) == pytest.approx(10.0, abs=1.0)


def test_neither_the_tumor_nor_bone_air_or_what_is_far_away_counts() -> None:
    u = np.full(ISO.shape, 50.0)
    u[MASK] = -500.0
    u[:, :, :28] = -1000.0
    u[:, :27] = 900.0
    u[distances(ISO, (29.5, 29.5, 29.5)) > REACH_MM + 7.0] = 5.0
    assert dark_tissue(u, MASK, ISO.spacing, CT) == 50.0


def test_a_tumor_in_air_has_no_tissue_beside_it() -> None:
    assert dark_tissue(np.full(ISO.shape, -1000.0), MASK, ISO.spacing, CT) is None


def training_data(share: float, count: int, domain: Domain = T1) -> TrainingData:
    """Tumors, two views of each, in muscle of 20 to 40, whose mean follows it by a share, but for 5 and noise of 0.5."""
    rng, work = np.random.default_rng(0), WorkConfig()
    images, regions, masks, means = [], [], [], []
    for number in range(count):
        muscle = 20.0 + 20.0 * number / max(count - 1, 1)
        u = muscle + 0.5 * rng.normal(size=ISO.shape)
        images.append(TrainImage(f"{number}", f"p{number}", domain, np.rint(u * 100).astype(np.int16), 0.01, ISO))
        for spacing in (1.2, 1.0):
            grid = work_grid(ISO, np.full(3, 29.5), spacing, work.size)
            there = grid.to_ras(np.stack(np.meshgrid(*[np.arange(work.size)] * 3, indexing="ij"), axis=-1))
            masks.append(np.packbits(np.linalg.norm(there - 29.5, axis=-1) <= 6.0))
            regions.append(Region(number, TUMOR, (29.5,) * 3, spacing, (False,) * 3, 900.0))
            means.append([5.0 + share * muscle + 0.5 * rng.normal()])
    # One tumor is full of fluid.
    means[0] = means[1] = [90.0]
    return TrainingData(tuple(images), tuple(regions), np.array(masks), np.array(means, np.float32), (MEAN,), work)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_the_share_by_which_tumors_follow_their_tissue_is_found(share: float) -> None:
    data = training_data(share, 20)
    dark = dark_tissues(data)
    # The tenth percentile of Gaussian noise lies 1.28 standard deviations below its mean.
    assert dark[10] == pytest.approx(20.0 + 20.0 * 10 / 19 - 1.28 * 0.5, abs=0.1)
    assert follows_tissue(data, T1, dark) == share
    assert follows_tissue(data, CT, dark) == 0.0, "it has no tumors"


def test_few_tumors_say_nothing_and_the_finest_view_speaks() -> None:
    data = training_data(1.0, FEWEST_TUMORS - 1)
    assert follows_tissue(data, T1, dark_tissues(data)) == 0.0
    assert all(data.regions[index].spacing == 1.0 for index in finest_views(data).values())


def test_a_typical_tumor_moves_with_the_muscle_that_it_is_put_into(tiny_bundle: Bundle, scan: Path, tmp_path: Path) -> None:
    """The phantom's muscle has 50 HU with a noise of 8, so a tenth of it is below 40; of fat there is little within reach."""
    exemplar = {MEAN: 60.0, "firstorder_Variance": 100.0, VOLUME: 3000.0, BESIDE: 20.0}
    found = {}
    for share in (0.0, 0.5):
        editor = Editor(with_entries(tiny_bundle, exemplars=[exemplar], follows_tissue=share), "cpu")
        drawn = read_result(editor.run(insert(scan, tmp_path / str(share))))["drawn"]
        assert drawn.keys() == {MEAN, "firstorder_Variance"}
        found[share] = drawn[MEAN]
    assert found == {0.0: 60.0, 0.5: pytest.approx(70.0, abs=1.5)}
