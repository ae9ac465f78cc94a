"""What a radiologist says of a tumor, and which feature stands for it.

Which features, and why:

- The *diameter* is the long axis of the ellipsoid with the tumor's second moments, ``sqrt(5) / 2`` times
  ``shape_MajorAxisLength``. The shape solver reaches that within 1 % together with any volume, and knows where it usually lies;
  ``shape_Maximum3DDiameter`` depends on single voxels, is missed by up to 30 %, and is not measured while a slider moves.
- *Heterogeneity* is the standard deviation, the square root of ``firstorder_Variance``, so it has the unit of the image.
- *Coarseness* is ``glcm_Correlation``, how much a voxel is like its neighbors: near 0 for fine grain, near 1 for broad patches.
  It does not depend on how strong the differences are, so it can be chosen beside the heterogeneity. ``ngtdm_Coarseness`` would
  follow the volume (a tenth of it at ten times the volume), ``glcm_Idm`` the heterogeneity.
- The *core* is the request's necrotic core; its attenuation is the mean inside it.
"""

import math
from dataclasses import dataclass
from typing import Any

from TumorSynthLib.errors import RequestError

LONG_AXIS = math.sqrt(5.0) / 2.0
"""Long axis of an ellipsoid over its ``shape_MajorAxisLength``."""


@dataclass(frozen=True)
class Knob:
    """One thing that a radiologist says of a tumor."""

    name: str
    """Its name in the panel's widgets and in ``TumorSynthLogic``."""
    features: tuple[str, ...]
    """PyRadiomics features that it sets; none where it is a field of the request."""
    kind: str
    """``shape``, ``texture``, ``core`` or ``field``: where in a lesion it is kept."""
    unit: str = ""
    """Its unit; ``*`` stands for that of the domain."""
    low: float = -math.inf
    """Least possible value; itself possible only where ``closed``."""
    high: float = math.inf
    """Largest possible value."""
    closed: bool = True
    """Whether ``low`` itself is possible."""
    power: float = 1.0
    """The feature is ``(value / factor) ** power``."""
    factor: float = 1.0
    """See ``power``."""
    decimals: int = 2
    """Digits that are worth showing."""


KNOBS: tuple[Knob, ...] = (
    Knob("volume", ("shape_VoxelVolume",), "shape", "mL", 0.0, closed=False, factor=1e-3),
    Knob("diameter", ("shape_MajorAxisLength",), "shape", "mm", 0.0, closed=False, factor=LONG_AXIS, decimals=1),
    Knob("sphericity", ("shape_Sphericity",), "shape", "", 0.0, 1.0, closed=False),
    Knob("elongation", ("shape_Elongation",), "shape", "", 0.0, 1.0, closed=False),
    Knob("attenuation", ("firstorder_Mean",), "texture", "*", decimals=1),
    Knob("heterogeneity", ("firstorder_Variance",), "texture", "*", 0.0, power=2.0, decimals=1),
    Knob("coarseness", ("glcm_Correlation",), "texture", "", -1.0, 1.0),
    Knob("coreShare", (), "core", "%", 0.0, 95.0, closed=False, factor=100.0, decimals=0),
    Knob("coreAttenuation", ("firstorder_Mean",), "core", "*", decimals=1),
    Knob("rim", (), "field", "%", 0.0, 100.0, factor=100.0, decimals=0),
    Knob("massEffect", (), "field", "%", 0.0, 100.0, factor=100.0, decimals=0),
)
"""In the order of the panel. Elongation is the middle over the long axis, 1 for a disc or a ball; shares are in percent."""

_BY_NAME = {knob.name: knob for knob in KNOBS}


def knobNamed(name: str) -> Knob:
    """One of ``KNOBS``.

    Raises
    ------
    RequestError : for another name.
    """
    if name not in _BY_NAME:
        raise RequestError("lesion.knob", f"There is no property {name!r:.60}.", f"Choose one of: {', '.join(_BY_NAME)}.")
    return _BY_NAME[name]


def checkedValue(knob: Knob, value: Any) -> float:
    """A value that the knob can have.

    Raises
    ------
    RequestError : for one that it cannot.
    """
    number = not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value)
    if not number or not knob.low <= value <= knob.high or (value == knob.low and not knob.closed):
        message = f"The {knob.name} is {value!r:.60}, which is impossible."
        raise RequestError("lesion.value", message, f"Give {_possible(knob)}.")
    return float(value)


def _possible(knob: Knob) -> str:
    """What a knob can be, for a message."""
    suffix = f" {knob.unit}" if knob.unit not in ("", "*") else ""
    if math.isinf(knob.low):
        return "a finite number"
    start = "from" if knob.closed else "above"
    end = f" and up to {knob.high:g}" if math.isfinite(knob.high) else ""
    return f"a number {start} {knob.low:g}{end}{suffix}"
