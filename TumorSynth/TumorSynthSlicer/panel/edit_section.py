"""The panel's edit of the selected lesion: what is done to it, and how the tumor shall be."""

import random
from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

from TumorSynthSlicer.knobs import KNOBS, Knob
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.method_words import knobHint, knobProblem
from TumorSynthSlicer.panel.action_button import Allowed, attempt
from TumorSynthSlicer.panel.feature_words import knobName, presetName
from TumorSynthSlicer.panel.knob_row import KnobRow, KnobState
from TumorSynthSlicer.panel.operation_choice import OperationChoice
from TumorSynthSlicer.panel.selectors import isGone, letGo
from TumorSynthSlicer.presets import PRESETS, presetChanges
from TumorSynthSlicer.words import asked, changesFor, knobLimits, knobRange, knobValue, unit

SEEDS = 10_000
"""New seeds are below this, so that a person can read and type them."""

_ASKING = ("insert", "edit", "grow")
"""Operations for which features are asked."""


class EditSection:
    """Operation, sliders, preset, example and seed.

    Parameters
    ----------
    ui : widgets by name.
    session : what is being worked on.
    """

    def __init__(self, ui: Any, session: Any) -> None:
        self._ui, self._session = ui, session
        self._key = ""
        self._isShowing = False
        self._like: tuple[Any, str] = (None, "")
        self._preset, self._likes = Allowed(ui.presetBox), Allowed(ui.likeSelector, ui.likeVolumeSelector)
        self._seeds = Allowed(ui.seedSpin, ui.diceButton)
        self._operations = OperationChoice(ui, session)
        self._rows = [KnobRow(ui, knob, self._onKnob) for knob in KNOBS]
        ui.presetBox.clear()
        ui.presetBox.addItem(_("Choose..."), "")
        for name in PRESETS:
            ui.presetBox.addItem(presetName(name), name)
        ui.presetBox.connect("activated(int)", self._onPreset)
        ui.seedSpin.connect("valueChanged(int)", self._onSeed)
        ui.diceButton.connect("clicked(bool)", self._onDice)
        letGo(ui.likeSelector)
        ui.likeVolumeSelector.connect("nodeAboutToBeRemoved(vtkMRMLNode*)", self._onLikeLeaving)
        letGo(ui.likeVolumeSelector)
        ui.likeSelector.connect("currentSegmentChanged(QString)", self._onLike)
        ui.likeVolumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onLike)
        session.previewed.connect(self._onPreviewed)

    def leave(self) -> None:
        """Wait for no click any more."""
        self._operations.placing.stop()

    def cleanup(self) -> None:
        """Listen no longer."""
        self._operations.placing.stop()
        self._session.previewed.disconnect(self._onPreviewed)

    def refresh(self) -> None:
        """Show the session as it is."""
        self._isShowing = True
        lesion = self._session.selectedLesion
        hindrance = self._hindrance(lesion)
        self._operations.refresh(lesion, hindrance)
        for row in self._rows:
            row.show(self._stateOf(row.knob, lesion, hindrance))
        self._showOthers(lesion, hindrance)
        self._isShowing = False

    def _showOthers(self, lesion: Lesion | None, hindrance: str) -> None:
        ui = self._ui
        free = hindrance or ("" if lesion is None or lesion.operation in _ASKING else _("It keeps its texture."))
        why = free or ("" if self._session.ranges else _("What is typical comes from the background program; start it first."))
        ui.presetBox.currentIndex = 0
        self._preset.show(why)
        self._likes.show(free)
        self._seeds.show(hindrance)
        if lesion is not None and ui.seedSpin.value != lesion.seed:
            blocked = ui.seedSpin.blockSignals(True)
            ui.seedSpin.value = lesion.seed
            ui.seedSpin.blockSignals(blocked)
        key = lesion.key if lesion is not None else ""
        if key != self._key:
            self._key = key
            ui.likeSelector.setCurrentSegmentID("")

    def _hindrance(self, lesion: Lesion | None) -> str:
        """Why nothing can be changed now."""
        if lesion is None:
            return _("Choose a lesion in the table, or add one.")
        return _("Wait for the work that goes on, or cancel it.") if lesion.state == "running" else ""

    def _stateOf(self, knob: Knob, lesion: Lesion | None, hindrance: str) -> KnobState:
        domain, ranges, method = self._session.domainFacts, self._session.ranges, self._session.method
        usual = knobRange(knob, ranges)
        measured = self._measured(lesion) if lesion is not None and knob.kind != "core" else {}
        free = knobValue(knob, measured)
        if free is None and usual is not None:
            free = usual[1]
        return KnobState(
            knobName(knob.name, domain),
            unit(knob, domain),
            None if lesion is None else asked(lesion, knob),
            free,
            usual,
            knobLimits(knob, ranges),
            hindrance or ("" if lesion is None else _whyNot(knob, lesion, domain, method)),
            str(self._session.outline.message) if knob.name == "volume" and lesion is not None else "",
            "" if lesion is None else knobHint(knob, lesion, method),
            (lesion.key if lesion is not None else "", self._session.domain, ranges is None),
        )

    def _measured(self, lesion: Lesion) -> dict[str, float]:
        """What is known of the tumor where nothing is asked for: as the outline shows it, or as it is there."""
        there = lesion.measured
        if lesion.operation == "insert" and lesion.state in ("draft", "failed"):  # the texture is that of healthy tissue
            there = {name: value for name, value in there.items() if name.startswith("shape_")}
        return {**there, **(self._session.outline.measured if lesion.state == "draft" else {})}

    # ------------------------------------------------------------------ what a hand does
    def _change(self, **changes: Any) -> None:
        lesion = self._session.selectedLesion
        if lesion is not None:
            attempt(self._session, lambda: self._session.update(lesion.key, **changes))

    def _onKnob(self, knob: Knob, value: float | None) -> None:
        lesion = self._session.selectedLesion
        if lesion is not None:
            attempt(self._session, lambda: self._change(**changesFor(lesion, knob, value)))

    def _onPreset(self, index: int) -> None:
        name, lesion, session = self._ui.presetBox.itemData(index), self._session.selectedLesion, self._session
        if name and lesion is not None:
            attempt(session, lambda: self._change(**presetChanges(name, lesion, session.ranges, session.domainFacts)))
        self._ui.presetBox.currentIndex = 0

    def _onSeed(self, seed: int) -> None:
        if not self._isShowing:
            self._change(seed=seed)

    def _onDice(self, checked: bool = False) -> None:
        self._change(seed=random.randrange(SEEDS))
        self.refresh()

    def _onLike(self, changed: Any = None) -> None:
        selector, key = self._ui.likeSelector, self._session.lesions.selected
        segmentation, segmentId = selector.currentNode(), selector.currentSegmentID()
        if isGone(*self._like):
            self._like = (None, "")
            selector.setCurrentSegmentID("")
        elif not self._isShowing and key and segmentation is not None and segmentId:
            self._like = (segmentation, segmentId)
            volume = self._ui.likeVolumeSelector.currentNode()
            attempt(self._session, self._session.takeAfter, key, segmentation, segmentId, volume)

    def _onLikeLeaving(self, node: Any) -> None:
        if node is self._ui.likeVolumeSelector.currentNode():
            self._ui.likeSelector.setCurrentSegmentID("")

    def _onPreviewed(self, key: str) -> None:
        if key == self._session.lesions.selected:
            self.refresh()


def _whyNot(knob: Knob, lesion: Lesion, domain: Mapping[str, Any] | None, method: str) -> str:
    """Why a property cannot be asked for with an operation, of a model and with a method; empty where it can."""
    operation = lesion.operation
    if operation == "remove":
        return _("What is removed becomes healthy tissue; nothing has to be chosen.")
    if operation == "move" and knob.kind != "field":
        return _("A moved tumor keeps its form and texture.")
    if knob.name == "rim" and not (domain or {}).get("rim", True):
        return _("This model knows nothing about rims.")
    if operation == "grow" and knob.name == "volume":
        return _("The volumes of the series are typed above.")
    if operation == "grow" and knob.kind == "shape":
        return _("The time points keep the tumor's form.")
    return knobProblem(knob, lesion, method)
