"""One property of a tumor in the panel: whether it is asked for, its slider, and what is usual."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from TumorSynthSlicer.knobs import Knob
from TumorSynthSlicer.panel.feature_words import plain
from TumorSynthSlicer.panel.tables import OFF_COLOR

_UNUSUAL = f"QLabel {{ color: {OFF_COLOR}; }}"


@dataclass(frozen=True)
class KnobState:
    """What a row shows."""

    name: str
    """In words."""
    unit: str = ""
    """Of the value."""
    asked: float | None = None
    """The asked value; None leaves it free."""
    free: float | None = None
    """Where the slider stands while it is free: what is measured, or what is usual."""
    usual: tuple[float, float, float] | None = None
    """Low, middle and high of what is usual."""
    limits: tuple[float, float] | None = None
    """Ends of the slider; None for those of the .ui file."""
    hindrance: str = ""
    """Why it cannot be chosen now; empty where it can."""
    note: str = ""
    """Why nothing can be shown with these values; it takes the place of what is usual."""
    hint: str = ""
    """What else has to be known of it; it follows what is usual."""
    subject: Any = None
    """What the values belong to. Only for another one the ends of the slider move, so that they do not move under a hand."""


class KnobRow:
    """A check box, a slider and a label.

    Parameters
    ----------
    ui : widgets by name.
    knob : the property; a rim and a mass effect have a slider alone, which switches them off at 0.
    onChanged : called with the knob and its asked value, None for free, when a hand has changed it.
    """

    def __init__(self, ui: Any, knob: Knob, onChanged: Callable[[Knob, float | None], Any]) -> None:
        self.knob, self._onChanged = knob, onChanged
        self._slider = getattr(ui, f"{knob.name}Slider")
        self._check = getattr(ui, f"{knob.name}Check", None)
        self._label = getattr(ui, f"{knob.name}Range", None)
        self._tips = [(widget, widget.toolTip) for widget in (self._slider, self._check) if widget is not None]
        self._subject: Any = object()
        self._start = self._slider.value
        self._slider.connect("valueChanged(double)", self._onValue)
        if self._check is not None:
            self._check.connect("clicked(bool)", self._onAsked)

    def show(self, state: KnobState) -> None:
        """Show a state without telling anybody."""
        value = state.free if state.asked is None else state.asked
        if value is None and state.subject != self._subject:
            value = self._start
        blocked = self._slider.blockSignals(True)
        self._setRange(state, value)
        if value is not None and abs(self._slider.value - value) > 0.5 * 10.0**-self.knob.decimals:
            self._slider.value = value
        self._slider.blockSignals(blocked)
        possible = not state.hindrance
        self._slider.enabled = possible
        if self._check is not None:
            self._check.text = state.name
            self._check.checked = state.asked is not None
            self._check.enabled = possible
        for widget, tip in self._tips:
            widget.toolTip = f"{state.hindrance}\n\n{tip}" if state.hindrance else tip
        if self._label is not None:
            self._showUsual(state)

    def _setRange(self, state: KnobState, value: float | None) -> None:
        slider = self._slider
        if state.subject != self._subject:
            self._subject = state.subject
            slider.decimals = self.knob.decimals
            slider.suffix = f" {state.unit}" if state.unit else ""
            if state.limits is not None:
                slider.minimum, slider.maximum = state.limits
                slider.singleStep = _step(state.limits[1] - state.limits[0], self.knob.decimals)
        if value is not None and not slider.minimum <= value <= slider.maximum:
            slider.minimum, slider.maximum = min(slider.minimum, value), max(slider.maximum, value)

    def _showUsual(self, state: KnobState) -> None:
        text, off = _usualText(state)
        self._label.text = "\n".join(part for part in (text, state.hint) if part)
        self._label.styleSheet = _UNUSUAL if off else ""
        self._label.visible = bool(self._label.text)

    def _onValue(self, value: float) -> None:
        self._onChanged(self.knob, None if self._check is None and value == 0.0 else value)

    def _onAsked(self, asked: bool) -> None:
        self._onChanged(self.knob, self._slider.value if asked else None)


def _usualText(state: KnobState) -> tuple[str, bool]:
    """What is usual, or why nothing can be shown; and whether that has to be pointed at."""
    if state.note or state.usual is None:
        return state.note, bool(state.note)
    low, _middle, high = state.usual
    off = state.asked is not None and not low <= state.asked <= high
    text = _("unusual: typical are {low} to {high} {unit}") if off else _("typical {low} to {high} {unit}")
    return text.format(low=plain(low), high=plain(high), unit=state.unit).strip(), off


def _step(span: float, decimals: int) -> float:
    """About a hundredth of a slider, in round numbers that the box can show."""
    return max(10.0**-decimals, 10.0 ** math.floor(math.log10(span / 50.0))) if span > 0.0 else 10.0**-decimals
