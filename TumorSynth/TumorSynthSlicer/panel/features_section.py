"""The panel's table of all features, for those who know their PyRadiomics names. Its asked values are those of the sliders."""

import re
from collections.abc import Mapping
from typing import Any

import qt
from slicer.i18n import tr as _

from TumorSynthLib.errors import RequestError
from TumorSynthLib.feature_names import SHAPE_ALIASES, SHAPE_FEATURES, TEXTURE_FEATURES
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.panel.action_button import attempt
from TumorSynthSlicer.panel.feature_words import Shown, shown
from TumorSynthSlicer.panel.tables import Cell, fill, shareWidth, widthsLater
from TumorSynthSlicer.words import featuresOf, longNames

FEATURE, ASK, VALUE, LOW, HIGH, MEASURED = range(6)
"""Columns of the table."""
_NUMBER = re.compile(r"\s*([-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?)")
_SHORT = {feature: alias for alias, feature in SHAPE_ALIASES.items()}


class FeaturesSection:
    """The table; it is only filled while it is unfolded.

    Parameters
    ----------
    ui : widgets by name.
    session : what is being worked on.
    """

    def __init__(self, ui: Any, session: Any) -> None:
        self._ui, self._session = ui, session
        self._features = (*SHAPE_FEATURES, *TEXTURE_FEATURES)
        self._rows: list[tuple[Any, ...]] = []
        shareWidth(ui.featureTable, FEATURE)
        ui.featureTable.connect("cellChanged(int,int)", self._onCell)
        ui.featuresBox.connect("toggled(bool)", self._onToggled)

    def cleanup(self) -> None:
        """Nothing outlives the widgets."""

    def refresh(self) -> None:
        """Show the session as it is."""
        if self._ui.featuresBox.collapsed:
            return
        lesion = self._session.selectedLesion
        asked = longNames({**lesion.shape, **lesion.texture}) if lesion is not None else {}
        measured = longNames(lesion.measured) if lesion is not None else {}
        rows = [
            self._row(feature, asked.get(feature), measured.get(feature), lesion is not None and _changeable(feature, lesion))
            for feature in self._features
        ]
        changed = [number for number, row in enumerate(rows) if number >= len(self._rows) or row != self._rows[number]]
        self._rows = rows
        if changed:
            self._show(changed)

    def _row(self, feature: str, asked: float | None, measured: float | None, changeable: bool) -> tuple[Any, ...]:
        """What one row shows: its texts, whether it is asked for, and whether that can be changed."""
        how = shown(feature, self._session.domainFacts)
        usual = (self._session.ranges or {}).get(feature) or {}
        texts = [how.text(how.number(value)) for value in (asked, usual.get("low"), usual.get("high"), measured)]
        return (how.name, *texts, asked is not None, changeable)

    def _show(self, numbers: list[int]) -> None:
        table = self._ui.featureTable
        with widthsLater(table, FEATURE):
            if table.rowCount != len(self._rows):
                fill(table, [self._cells(number) for number in range(len(self._rows))])
                numbers = list(range(len(self._rows)))
            blocked = table.blockSignals(True)
            for number in numbers:
                self._showRow(number)
            table.blockSignals(blocked)

    def _cells(self, number: int) -> list[Cell]:
        name, feature = self._rows[number][0], self._features[number]
        return [Cell(name, feature), Cell(""), *(Cell("", number=True) for _column in range(VALUE, MEASURED + 1))]

    def _showRow(self, number: int) -> None:
        table, row = self._ui.featureTable, self._rows[number]
        *texts, isAsked, changeable = row
        for column, text in zip((FEATURE, VALUE, LOW, HIGH, MEASURED), texts, strict=True):
            item = table.item(number, column)
            if item.text() != text:
                item.setText(text)
            item.setFlags(_flags(qt.Qt.ItemIsEditable) if changeable and column == VALUE else _flags())
        tick = table.item(number, ASK)
        tick.setFlags(_flags(qt.Qt.ItemIsUserCheckable) if changeable else _flags())
        tick.setCheckState(qt.Qt.Checked if isAsked else qt.Qt.Unchecked)

    def _onToggled(self, expanded: bool) -> None:
        if expanded:
            self.refresh()

    def _onCell(self, row: int, column: int) -> None:
        """Ask for a feature, leave it free, or ask for another value; what cannot be is taken back."""
        if column not in (ASK, VALUE) or self._session.selectedLesion is None:
            return
        item = self._ui.featureTable.item(row, column)
        feature = self._features[row]
        if column == VALUE:
            text = item.text()
            attempt(self._session, lambda: self._ask(feature, typedNumber(text)))
        elif item.checkState() == qt.Qt.Checked:
            attempt(self._session, lambda: self._ask(feature, self._start(feature)))
        else:
            self._change(feature, {})
        self._rows[row] = ()
        self.refresh()

    def _ask(self, feature: str, number: float) -> None:
        self._change(feature, requested(shown(feature, self._session.domainFacts), number))

    def _change(self, feature: str, asked: Mapping[str, float]) -> None:
        """Ask for a feature by the names of the request, or leave it free with none."""
        lesion = self._session.selectedLesion
        field = "shape" if feature.startswith("shape_") else "texture"
        others = {name: value for name, value in getattr(lesion, field).items() if SHAPE_ALIASES.get(name, name) != feature}
        self._session.update(lesion.key, **{field: {**others, **asked}})

    def _start(self, feature: str) -> float:
        """The number to begin with: what is measured, or what is usual."""
        lesion: Lesion = self._session.selectedLesion
        usual = ((self._session.ranges or {}).get(feature) or {}).get("middle")
        number = shown(feature, self._session.domainFacts).number(longNames(lesion.measured).get(feature, usual))
        if number is None:
            raise RequestError(
                "feature.value", _("Nothing is known of {feature} yet.").format(feature=feature), _("Type its value.")
            )
        return number


def _changeable(feature: str, lesion: Lesion) -> bool:
    """Whether a feature can be asked for; the time points of a series keep the tumor's form."""
    possible = ("insert", "edit") if feature.startswith("shape_") else ("insert", "edit", "grow")
    return lesion.state != "running" and lesion.operation in possible


def requested(how: Shown, number: float) -> dict[str, float]:
    """A number on the screen as a feature by the name of the request.

    Raises
    ------
    RequestError : for a number that the feature's slider cannot have.
    """
    if how.knob is not None:
        return featuresOf(how.knob, number)
    return {_SHORT.get(how.feature, how.feature): number / how.factor}


def typedNumber(text: str) -> float:
    """The number at the beginning of a text, after which its unit may stand.

    Raises
    ------
    RequestError : ``feature.number`` where there is none.
    """
    found = _NUMBER.match(text)
    if found is None:
        raise RequestError("feature.number", _("'{text}' is no number.").format(text=text[:20]), _("Type a number."))
    return float(found[1].replace(",", "."))


def _flags(more: Any = None) -> Any:
    usual = qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable
    return usual if more is None else usual | more
