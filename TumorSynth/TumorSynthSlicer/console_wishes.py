"""What can be asked for by keyword, in a radiologist's words, and the lesion and settings that it makes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

import numpy as np

from TumorSynthLib.errors import RequestError
from TumorSynthSlicer.commands import WorkerChoice
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.requests import Settings
from TumorSynthSlicer.words import changesFor, knobNamed

_KNOBS = {
    "volumeMl": "volume",
    "diameterMm": "diameter",
    "sphericity": "sphericity",
    "elongation": "elongation",
    "attenuation": "attenuation",
    "heterogeneity": "heterogeneity",
    "coarseness": "coarseness",
    "coreAttenuation": "coreAttenuation",
}
_SAMPLING = ("method", "steps", "guidance", "candidates", "noise")
_SHAPE = ("volumeMl", "diameterMm", "sphericity", "elongation", "shape")
_TEXTURE = ("attenuation", "heterogeneity", "coarseness", "texture", "coreAttenuation")
OF_ALL = ("region", "domain", "bundle", "device", *_SAMPLING)
"""What holds for everything that a request makes."""
_USELESS = {
    "remove": (*_SHAPE, *_TEXTURE, "core", "rim", "name", "region"),
    "move": (*_SHAPE, *_TEXTURE, "core"),
    "grow": (*_SHAPE, "name"),
    "shape": (*_TEXTURE, "rim", "massEffect", *_SAMPLING),
}
"""What would change nothing, by operation."""


@dataclass(frozen=True)
class Wishes:
    """Everything that the operations of ``TumorSynthLogic`` take by keyword. What is left out is free, or as usual.

    Attributes
    ----------
    volumeMl : volume in mL.
    diameterMm : long diameter in mm, see ``knobs``.
    sphericity : 1 for a ball, less for irregular tumors.
    elongation : middle over long axis, up to 1.
    attenuation : mean in the domain's unit: HU, SUV, or percent of an MR's range.
    heterogeneity : standard deviation in the domain's unit.
    coarseness : 0 for fine grain to 1 for broad patches.
    shape : any other shape feature by its PyRadiomics name, in mm, mm^2 and mm^3; also ``flatness``.
    texture : any other texture feature by its PyRadiomics name.
    core : a necrotic core: its share of the volume, 0 to 0.95, or the request's ``core``.
    coreAttenuation : mean inside the core, in the domain's unit.
    rim : strength of a rim in the tissue around it, 0 to 1.
    massEffect : how much the surroundings give way, 0 to 1.
    seed : seed of everything random.
    name : what its segment is called; empty is as the segment that it was, or Tumor.
    region : a segment that new tumors stay inside of: (segmentation, segment), or a segmentation with one segment.
    domain : organ and modality by the bundle's id; of a volume that was edited before, ``auto`` is that of its last edit.
    bundle : model bundle; None is the one of the panel's setup.
    device : ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``; None is that of the panel's setup.
    method : ``bridge``; ``diffusion`` for many varied tumors, best with 4 steps; or ``flow``, which makes form and texture
        together in a box, or at a point with a volume, and takes shape features but the volume as wishes. A model need not have
        all of them. Removal is the bridge's in any case.
    steps : sampling steps.
    guidance : weight of the texture that was asked for.
    candidates : samples of which the best measured is kept.
    noise : whether the scan's noise is restored.
    """

    volumeMl: float | None = None
    diameterMm: float | None = None
    sphericity: float | None = None
    elongation: float | None = None
    attenuation: float | None = None
    heterogeneity: float | None = None
    coarseness: float | None = None
    shape: Mapping[str, float] = field(default_factory=dict)
    texture: Mapping[str, float] = field(default_factory=dict)
    core: float | Mapping[str, Any] | None = None
    coreAttenuation: float | None = None
    rim: float = 0.0
    massEffect: float = 0.0
    seed: int = 0
    name: str = ""
    region: Any = None
    domain: str = "auto"
    bundle: str | None = None
    device: str | None = None
    method: str = "bridge"
    steps: int = 10
    guidance: float = 1.5
    candidates: int = 1
    noise: bool = True

    def settings(self, choice: WorkerChoice) -> Settings:
        """What holds for the worker.

        Parameters
        ----------
        choice : that of the panel's setup.
        """
        bundle = self.bundle or choice.bundle.replace("\\", "/").rstrip("/").rpartition("/")[2]
        sampling = {name: getattr(self, name) for name in _SAMPLING}
        return Settings(bundle, self.domain, self.device or choice.device, **sampling)

    def lesion(self, place: str, operation: str, name: str = "Tumor") -> Lesion:
        """The lesion that asks for it.

        Parameters
        ----------
        name : of one that is not given another.

        Raises
        ------
        RequestError : for impossible values and unknown features.
        """
        core = {"share": self.core} if isinstance(self.core, (int, float)) else dict(self.core or {})
        around = {"rim": self.rim, "massEffect": self.massEffect, "seed": self.seed}
        found = Lesion("console", self.name or name, place).withChanges(
            operation=operation, shape=dict(self.shape), texture=dict(self.texture), core=core, **around
        )
        for option, knob in _KNOBS.items():
            value = getattr(self, option)
            if value is not None:
                found = found.withChanges(**changesFor(found, knobNamed(knob), value))
        return found


def wishesOf(options: Mapping[str, Any], operation: str = "insert") -> Wishes:
    """Keywords as they were given; NumPy's numbers are numbers.

    Raises
    ------
    RequestError : ``console.option`` for a keyword that there is not, with the nearest that there is, for one that changes
        nothing in the operation, and for features that are no dictionary.
    """
    known = [item.name for item in fields(Wishes)]
    for name, value in options.items():
        if name not in known:
            near = get_close_matches(name, known, n=2, cutoff=0.5)
            hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(known)}."
            raise RequestError("console.option", f"There is no keyword '{name}'.", hint)
        if name in _USELESS.get(operation, ()):
            raise RequestError("console.option", f"'{name}' changes nothing in '{operation}'.", f"Leave '{name}' out.")
        if name in ("shape", "texture") and not isinstance(value, Mapping):
            message = f"'{name}' is {value!r:.60}, expected features by name."
            raise RequestError("console.option", message, f'Give {name}={{"name of the feature": value}}.')
    return Wishes(**{name: _plain(value) for name, value in options.items()})


def _plain(value: Any) -> Any:
    """Python's own numbers, also in dictionaries."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value.item() if isinstance(value, np.generic) else value
