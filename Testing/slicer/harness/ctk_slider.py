"""A stand-in for CTK's slider with a box."""

from typing import Any

from PySide6 import QtCore, QtWidgets

from .declared import Property, Signal, kept, passedOn


class ctkSliderWidget(QtWidgets.QWidget):
    """A slider and a box for one number. The value itself is not rounded to what the box shows."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    decimalsChanged = Signal(int)
    SIGNALS = ("valueChanged(double)", "valueIsChanging(double)", "decimalsChanged(int)")
    _POSITIONS = 10_000

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._value, self._minimum, self._maximum = 0.0, 0.0, 99.0
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal, self)
        self._spinBox = QtWidgets.QDoubleSpinBox(self)
        self._slider.maximum = self._POSITIONS
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._spinBox)
        self._show()
        self._slider.connect("valueChanged(int)", self._onSlider)
        self._spinBox.connect("valueChanged(double)", self.setValue)

    def _show(self) -> None:
        span = self._maximum - self._minimum
        for part in (self._slider, self._spinBox):
            part.blockSignals(True)
        self._spinBox.setRange(self._minimum, self._maximum)
        self._spinBox.value = self._value
        self._slider.value = round((self._value - self._minimum) / span * self._POSITIONS) if span > 0 else 0
        for part in (self._slider, self._spinBox):
            part.blockSignals(False)

    def _onSlider(self, position: int) -> None:
        value = self._minimum + (self._maximum - self._minimum) * position / self._POSITIONS
        if self.tracking or not self._slider.isSliderDown():
            self.setValue(value)
        else:
            self.valueIsChanging.emit(value)

    def setValue(self, value: float) -> None:
        """Take the value, or the nearest end of the range."""
        value = min(max(float(value), self._minimum), self._maximum)
        changed = value != self._value
        self._value = value
        self._show()
        if changed:
            self.valueChanged.emit(value)

    def setDecimals(self, decimals: int) -> None:
        """Digits after the point in the box."""
        self._spinBox.decimals = decimals
        self._show()
        self.decimalsChanged.emit(decimals)

    def setSpinBoxVisible(self, visible: bool) -> None:
        """Show or hide the box."""
        self._spinBox.visible = visible

    def _setMinimum(self, minimum: float) -> None:
        self._minimum, self._maximum = minimum, max(minimum, self._maximum)
        self.setValue(self._value)

    def _setMaximum(self, maximum: float) -> None:
        self._minimum, self._maximum = min(self._minimum, maximum), maximum
        self.setValue(self._value)

    value = Property(float, lambda self: self._value, setValue)
    minimum = Property(float, lambda self: self._minimum, _setMinimum)
    maximum = Property(float, lambda self: self._maximum, _setMaximum)
    decimals = Property(int, lambda self: self._spinBox.decimals, setDecimals)
    spinBoxVisible = Property(bool, lambda self: not self._spinBox.isHidden(), setSpinBoxVisible)
    singleStep = passedOn(float, "_spinBox", "singleStep")
    prefix = passedOn(str, "_spinBox", "prefix")
    suffix = passedOn(str, "_spinBox", "suffix")
    pageStep = kept(float, "pageStep", 10.0)
    tickInterval = kept(float, "tickInterval", 0.0)
    tracking = kept(bool, "tracking", True)
