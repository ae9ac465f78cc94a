"""The synthesis methods in words: what each is, when to prefer it, and why it cannot make what is asked for.

The sentences are those of ``TumorSynthLib.methods`` for translators, the rules those of ``TumorSynthLib.possible``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from slicer.i18n import tr as _

from TumorSynthLib.methods import METHODS
from TumorSynthSlicer.knobs import Knob
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.words import asked, longNames

BRIDGE, DIFFUSION, FLOW = METHODS


@dataclass(frozen=True)
class MethodWords:
    """How a method is told."""

    name: str
    """What the panel calls it."""
    source: str = ""
    """What it is and who described it."""
    prefer: str = ""
    """A sentence on when to prefer it."""


def methodWords(method: str) -> MethodWords:
    """A method in words; one that is not known has its name alone."""
    known = {
        BRIDGE: MethodWords(
            _("Brownian bridge"),
            _("latent Brownian bridge (Kim et al.)"),
            _("Prefer it for everything: it starts from the tissue that is there, and heals tissue as well."),
        ),
        DIFFUSION: MethodWords(
            _("Diffusion"),
            _("few-step diffusion in a mask (DiffTumor)"),
            _("Prefer it for many small, varied tumors as training data, with 4 steps and hand-made shapes."),
        ),
        FLOW: MethodWords(
            _("Flow in a box"),
            _("rectified flow of tumor and mask (TumorGen)"),
            _("Prefer it when only a box is known, above all in PET: it makes shape and texture together, to fit each other."),
        ),
    }
    return known.get(method, MethodWords(method))


def lacking(method: str, offered: Sequence[str], model: str) -> str:
    """Why a method is not there, empty where it is.

    Parameters
    ----------
    offered : the methods of the model bundle; none where they are not known yet.
    model : the bundle's name.
    """
    if method in offered or (method == BRIDGE and not offered):
        return ""
    if not offered:
        return _("Which methods the model has comes from the background program; start it first.")
    return _("The model '{model}' was not trained for this method.").format(model=model)


def methodProblem(lesion: Lesion, method: str) -> str:
    """Why a method cannot make a lesion, empty where it can; removal is the bridge's in any case."""
    if method != FLOW or lesion.operation == "remove":
        return ""
    if lesion.operation != "insert":
        text = _("'{method}' makes new tumors alone. For {name} choose another method under Advanced.")
    elif lesion.place == "segment":
        text = _("'{method}' needs a box or a point, and {name} is painted. Choose another method under Advanced.")
    elif lesion.place == "point" and "shape_VoxelVolume" not in longNames(lesion.shape):
        text = _("'{method}' at a point needs a volume. Choose that of {name}, or use a box.")
    elif lesion.core or lesion.rim or lesion.massEffect:
        text = _("'{method}' cannot give {name} a core, a rim or a mass effect. Take them back, or choose another method.")
    else:
        return ""
    return text.format(method=methodWords(FLOW).name, name=lesion.name)


def knobProblem(knob: Knob, lesion: Lesion, method: str) -> str:
    """Why a property cannot be asked for with a method, empty where it can; what is asked for can be taken back."""
    if method != FLOW or lesion.operation != "insert" or knob.kind not in ("core", "field"):
        return ""
    if asked(lesion, knob) not in (None, 0.0):
        return ""
    return _("The method under Advanced knows the tumor's form only when it is finished, too late for this.")


def knobHint(knob: Knob, lesion: Lesion, method: str) -> str:
    """What has to be known of a property that a method does not follow as the others do; empty for nothing."""
    if method != FLOW or lesion.operation != "insert" or knob.kind != "shape":
        return ""
    if knob.name == "volume":
        drawn = lesion.state in ("draft", "failed")
        return _("The outline is the box; the tumor's own form comes with the result.") if drawn else ""
    if asked(lesion, knob) is None:
        return ""
    return _("Only a wish: the method makes the form itself. More candidates come nearer.")
