"""What an edit aims at: which voxels become tumor, of which parts it consists, and what is asked of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from TumorSynthLib.core_shape import carried_core, new_core
from TumorSynthLib.existing import grown, moved, reshaped, tumor_texture
from TumorSynthLib.placing import NewTumor, place_in_scan
from TumorSynthLib.protocol import Request, shape_targets
from TumorSynthLib.scene import Scene
from TumorSynthLib.shape import ShapeGenerator
from TumorSynthLib.volume import Volume

Alive = Callable[[], None]
"""Called on the way; may raise to cancel."""


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a tumor that has a texture of its own."""

    name: str
    """``tumor``, or ``rest`` and ``core`` where there are two."""
    mask: np.ndarray
    """Its voxels, bool on the scan's grid."""
    asked: Mapping[str, float]
    """Asked texture features in domain values."""
    known: Mapping[str, float] | None
    """Texture of the tumor that was there; None where there was none."""
    kept: bool = False
    """Whether it stays as it is, because only the other part is edited."""


@dataclass(frozen=True, eq=False)
class Target:
    """One tumor to synthesize, or one region to heal."""

    mask: np.ndarray
    """Where, bool on the scan's grid."""
    parts: tuple[Part, ...]
    """What it consists of; nothing where tissue is healed."""
    replaced: np.ndarray | None
    """The tumor that has to go first, because it changes its place or form."""
    requested: dict[str, float]
    """Asked shape features by PyRadiomics name."""
    warnings: list[str]
    """What could not be met."""
    placed: Mapping[str, object] = field(default_factory=dict)
    """Place and class of a hand-made tumor, JSON-ready; empty for all others."""

    @property
    def core(self) -> np.ndarray | None:
        """The core, where the tumor has one."""
        return next((part.mask for part in self.parts if part.name == "core"), None)


def choose_target(
    request: Request, scene: Scene, generator: ShapeGenerator, alive: Alive, volume_ml: float | None = None
) -> Target:
    """The target of a request.

    Parameters
    ----------
    request : of any operation on an image but ``shape`` and ``lesions``.
    scene : the scan with what was painted on it.
    generator : of shapes.
    alive : called on the way; may raise to cancel.
    volume_ml : of the time point, for ``grow``.

    Raises
    ------
    TumorSynthError : when the tumor does not fit where it is wanted.
    """
    if request.op == "remove":
        assert scene.painted is not None
        return Target(scene.painted, (), None, {}, [])
    new = _whole(request, scene, generator, alive, volume_ml)
    mask = new.mask.array
    core, more = _core(request, scene, mask, generator, alive)
    stays = request.op == "insert" or (request.op == "edit" and not request.shape)
    asked = shape_targets(request) if volume_ml is None else {"shape_VoxelVolume": 1000.0 * volume_ml}
    parts, replaced = _parts(request, scene, mask, core), None if stays else scene.painted
    return Target(mask, parts, replaced, asked, [*new.warnings, *more], new.placed)


def _whole(request: Request, scene: Scene, generator: ShapeGenerator, alive: Alive, volume_ml: float | None) -> NewTumor:
    """The whole tumor."""
    painted, geometry = scene.painted, scene.scan.geometry
    if request.op == "insert" and (painted is None or request.shape):
        return place_in_scan(request, scene, generator, alive)
    assert painted is not None
    if request.op == "move":
        assert request.to is not None
        return NewTumor(Volume(moved(painted, scene, np.array(request.to)), geometry), [])
    if volume_ml is not None:
        return NewTumor(Volume(grown(painted, scene, 1000.0 * volume_ml), geometry), [])
    if request.op == "edit" and request.shape:
        mask, warnings = reshaped(painted, scene, shape_targets(request), generator, request.seed, alive)
        return NewTumor(Volume(mask, geometry), warnings)
    return NewTumor(Volume(painted, geometry), [])


def _core(
    request: Request, scene: Scene, mask: np.ndarray, generator: ShapeGenerator, alive: Alive
) -> tuple[np.ndarray | None, list[str]]:
    """The core's mask, where the tumor has one: the painted one as long as nobody wants another."""
    if request.core is None:
        return None, []
    anew = "share" in request.core or bool(request.core.get("shape"))
    placed = request.op == "insert" and bool(request.shape)
    if scene.core is None or anew or placed:
        geometry, organ = scene.scan.geometry, scene.domain.organ
        return new_core(mask, geometry, request.core, generator, organ, request.seed, alive)
    assert scene.painted is not None
    if mask is scene.painted:
        return scene.core, []
    return carried_core(scene.painted, scene.core, mask, scene.scan.geometry), []


def _parts(request: Request, scene: Scene, mask: np.ndarray, core: np.ndarray | None) -> tuple[Part, ...]:
    """The parts of a tumor with what is asked and what is known of each."""
    painted = None if request.op == "insert" else scene.painted
    if core is None:
        return (Part("tumor", mask, scene.texture, None if painted is None else tumor_texture(scene, painted)),)
    old_core = None if painted is None else scene.core
    rest = None if painted is None else painted if old_core is None else painted & ~old_core
    of_core = dict((request.core or {}).get("texture", {}))
    in_place = request.op == "edit" and mask is painted and core is old_core
    return (
        Part(
            "rest",
            mask & ~core,
            scene.texture,
            None if rest is None else tumor_texture(scene, rest),
            in_place and not scene.texture and bool(of_core),
        ),
        Part(
            "core",
            core,
            of_core,
            None if old_core is None else tumor_texture(scene, old_core),
            in_place and not of_core and bool(scene.texture),
        ),
    )
