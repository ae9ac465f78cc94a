"""How dark the tissue beside real tumors is, and by what share of it they are darker or brighter themselves."""

from collections.abc import Mapping

import numpy as np
from scipy import stats

from TumorSynthLib.configs import Domain
from TumorSynthLib.dataset import TrainingData
from TumorSynthLib.intensity import MEAN
from TumorSynthLib.tissue_beside import dark_tissue
from TumorSynthLib.train.rim_statistics import PART, finest_views, native_mask

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares that are tried."""
FEWEST_TUMORS = 10
"""Tumors that a domain must have to speak for itself."""
WORTH = 0.8
"""Most of the tumors' spread that may be left, lest chance be followed."""


def dark_tissues(data: TrainingData) -> dict[int, float]:
    """The dark tissue beside the tumor of each image that has one, in domain units, by the image's number."""
    found = {}
    for number, index in finest_views(data).items():
        image = data.images[number]
        box, soft = native_mask(data, index)
        u = image.counts[box.slices] * np.float32(image.step)
        mask = soft > PART
        dark = dark_tissue(u, mask, image.geometry.spacing, image.domain) if mask.any() else None
        if dark is not None:
            found[number] = dark
    return found


def follows_tissue(data: TrainingData, domain: Domain, dark: Mapping[int, float]) -> float:
    """The share s for which the mean of a domain's tumors less s times the dark tissue beside them varies least.

    By the median absolute deviation: a tumor full of fluid is no reason to follow muscle less. 0 where there are few tumors,
    or where little is gained.
    """
    column = data.names.index(MEAN) if MEAN in data.names else None
    views = {number: index for number, index in finest_views(data).items() if number in dark}
    own = [number for number in views if data.images[number].domain.id == domain.id]
    if column is None or len(own) < FEWEST_TUMORS:
        return 0.0
    means = data.features[[views[number] for number in own], column]
    beside = np.array([dark[number] for number in own])
    spreads = [float(stats.median_abs_deviation(means - share * beside)) for share in SHARES]
    best = int(np.argmin(spreads))
    return SHARES[best] if spreads[best] <= WORTH * spreads[0] else 0.0
