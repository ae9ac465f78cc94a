"""Why something cannot be done now, in a sentence for the tooltip of its button."""

from collections.abc import Callable, Sequence
from typing import Any

from slicer.i18n import tr as _

from TumorSynthLib.errors import TumorSynthError
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.method_words import methodProblem, methodWords
from TumorSynthSlicer.transforms import nonlinearError, parentKind
from TumorSynthSlicer.words import contradiction


def why(session: Any, action: str) -> str:
    """Empty where the action is possible.

    Parameters
    ----------
    session : a ``Session``.
    action : "generate", "generateAll", "cancel", "keep", "discard", "undo", "redo", "addPoint", "addSegment", "addBox",
        "exportDicom", "exportFiles", "compare" or "measure".

    Raises
    ------
    KeyError : for another one.
    """
    return _RULES[action](session)


def problemOf(session: Any, lesion: Lesion) -> str:
    """Why a lesion cannot be made, empty where it can."""
    if lesion.state == "kept":
        return _("{name} is kept. Move a slider or choose an operation to change it once more.").format(name=lesion.name)
    if lesion.operation == "grow" and not lesion.volumesMl:
        return _("Type the volumes that {name} is to have, in mL.").format(name=lesion.name)
    against = contradiction(lesion.shape) if lesion.operation in ("insert", "edit") else ""
    against = against or methodProblem(lesion, session.method)
    if against:
        return against
    try:
        session.places.placeOf(lesion, session.source, mask="")
    except TumorSynthError as error:
        # What the result that is shown has removed comes back when it is discarded, as another Generate does first.
        return "" if error.code == "place.gone" and session.isShownGone(lesion) else str(error)
    return ""


def _generate(session: Any) -> str:
    keys = [session.lesions.selected] if session.lesions.selected else []
    return _scan(session) or _idle(session) or _generating(session, keys, _("Choose a lesion in the table, or add one."))


def _generateAll(session: Any) -> str:
    open_ = [lesion for lesion in session.lesions.all() if lesion.state != "kept"]
    grows = next((lesion for lesion in open_ if lesion.operation == "grow"), None)
    if len(open_) > 1 and grows is not None:
        return _("{name} is to grow, which makes a series of its own. Generate it alone.").format(name=grows.name)
    keys = [lesion.key for lesion in open_]
    return _scan(session) or _idle(session) or _generating(session, keys, _("Add a lesion that is not kept yet."))


def _generating(session: Any, keys: Sequence[str], none: str) -> str:
    if not keys:
        return none
    if session.parameters.domain == "auto" and not session.domain and session.questions.candidates:
        return _("Choose what the scan shows, under Input: it may be {domains}.").format(
            domains=", ".join(session.questions.candidates)
        )
    lesions = [session.lesions.get(key) for key in keys]
    if session.methodLack and any(lesion.operation != "remove" for lesion in lesions):
        words = {"method": methodWords(session.method).name, "reason": session.methodLack}
        return _("'{method}': {reason} Choose another method under Advanced.").format(**words)
    return next(filter(None, (problemOf(session, lesion) for lesion in lesions)), "")


def _scan(session: Any) -> str:
    if session.scan is None or session.source is None:
        return _("Choose a scan first.")
    return str(nonlinearError(session.source)) if parentKind(session.source) == "nonlinear" else ""


def _idle(session: Any) -> str:
    return _("Wait for the work that goes on, or cancel it.") if session.state == "running" else ""


def _cancel(session: Any) -> str:
    return "" if session.state == "running" else _("Nothing is being generated.")


def _keep(session: Any) -> str:
    if session.state != "result":
        return _idle(session) or _("Generate a result first.")
    return "" if session.shown >= 0 else _("Choose a result in the table.")


def _discard(session: Any) -> str:
    return "" if session.state == "result" else _idle(session) or _("There is no result to discard.")


def _undo(session: Any) -> str:
    if session.history.canUndo or not session.manifest:
        none = _("No edit was kept that could be undone.")
    else:
        none = _("What was kept before the scene was saved, or very long ago, cannot be undone. The scan itself is as it was.")
    return _settled(session) or ("" if session.history.canUndo else none)


def _redo(session: Any) -> str:
    return _settled(session) or ("" if session.history.canRedo else _("No edit was undone."))


def _settled(session: Any) -> str:
    return _idle(session) or (_("Keep or discard the result first.") if session.state == "result" else "")


def _export(session: Any) -> str:
    if session.state != "ready":
        return _scan(session) or _settled(session)
    return "" if session.manifest else _("Nothing has been generated and kept yet.")


def _compare(session: Any) -> str:
    output = None if session.source is None else session.parameters.outputVolume
    return "" if output is not None else _("Generate a result first.")


def _measure(session: Any) -> str:
    lesion = session.selectedLesion
    if lesion is None or lesion.place != "segment":
        return _("Choose a lesion that is a segment.")
    return _scan(session)


_RULES: dict[str, Callable[[Any], str]] = {
    "generate": _generate,
    "generateAll": _generateAll,
    "cancel": _cancel,
    "keep": _keep,
    "discard": _discard,
    "undo": _undo,
    "redo": _redo,
    "addPoint": _scan,
    "addSegment": _scan,
    "addBox": _scan,
    "exportDicom": _export,
    "exportFiles": _export,
    "compare": _compare,
    "measure": _measure,
}
