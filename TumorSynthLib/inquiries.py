"""Answers to inquiries: what is plausible, what a scan shows, what there is. Nothing is written, and no network is loaded."""

from collections.abc import Callable
from typing import Any

import numpy as np

from TumorSynthLib.bundle import Bundle, load_bundle
from TumorSynthLib.bundle_list import described_bundles
from TumorSynthLib.domains import recognized
from TumorSynthLib.interruptible import interruptible
from TumorSynthLib.protocol import Inquiry
from TumorSynthLib.ranges import conditional_ranges, implausible
from TumorSynthLib.region_features import measure_files
from TumorSynthLib.volume_io import read_metadata, read_volume

Alive = Callable[[], None]
"""Called on the way; may raise to cancel."""


class Inquiries:
    """Answers inquiries.

    Parameters
    ----------
    bundle : gives the bundle of a name.
    """

    def __init__(self, bundle: Callable[[str], Bundle] = load_bundle) -> None:
        self._bundle = bundle

    def answer(self, inquiry: Inquiry, alive: Alive = lambda: None) -> dict[str, Any]:
        """The fields of an inquiry's answer, see ``inquiry``.

        Parameters
        ----------
        inquiry : a checked inquiry.
        alive : called while files are read and between the classes of features; may raise to cancel.

        Raises
        ------
        TumorSynthError : with what was found, what was expected and what to do.
        """
        alive()
        if inquiry.op == "bundles":
            return {"bundles": described_bundles()}
        bundle = self._bundle(inquiry.bundle)
        answers = {"ranges": self._ranges, "measure": self._measure, "domain": self._domain}
        return answers[inquiry.op](inquiry, bundle, alive)

    def _ranges(self, inquiry: Inquiry, bundle: Bundle, alive: Alive) -> dict[str, Any]:
        asked = (bundle, inquiry.domain, inquiry.shape, inquiry.texture)
        return {"ranges": conditional_ranges(*asked), "warnings": implausible(*asked)}

    def _measure(self, inquiry: Inquiry, bundle: Bundle, alive: Alive) -> dict[str, Any]:
        assert inquiry.image is not None and inquiry.mask is not None
        files = (inquiry.image, inquiry.mask, inquiry.label)
        found = measure_files(*files, inquiry.domain, bundle, inquiry.core_label, alive)
        parts = {f"measured_{name}": values for name, values in found.parts.items()}
        return {"measured": found.measured, **parts, "domain": found.domain.id, "warnings": found.warnings}

    def _domain(self, inquiry: Inquiry, bundle: Bundle, alive: Alive) -> dict[str, Any]:
        assert inquiry.image is not None
        image = inquiry.image
        scan = interruptible(lambda: read_volume(image), alive)
        metadata = read_metadata(image)
        if inquiry.modality is not None:
            metadata = {**metadata, "modality": inquiry.modality}
        middle = scan.geometry.to_ras((np.array(scan.array.shape) - 1) / 2)
        found = recognized(bundle.domains, scan, metadata, middle if inquiry.at is None else np.array(inquiry.at))
        return {
            "domain": None if found.domain is None else found.domain.id,
            "modality": found.modality or None,
            "candidates": [domain.id for domain in found.candidates],
            "warnings": [found.sentence],
        }
