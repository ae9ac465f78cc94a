"""The panel's lesions: the table, and the ways to add to it."""

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from TumorSynthLib.errors import RequestError
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.panel.action_button import ActionButton, attempt
from TumorSynthSlicer.panel.boxes import boxFor
from TumorSynthSlicer.panel.lesion_words import operationName, sizeText, stateName
from TumorSynthSlicer.panel.painting import Painting
from TumorSynthSlicer.panel.placing import Placing, Ras
from TumorSynthSlicer.panel.selectors import letGo
from TumorSynthSlicer.panel.tables import OFF_COLOR, Cell, fill, fitHeight, selectRow, shareWidth
from TumorSynthSlicer.segment_picking import isTumor, segmentAt, segmentUnderCursor

NAME, OPERATION, SIZE, STATE, SHOW, REMOVE = range(6)
"""Columns of the table."""
ROWS = 8
"""Rows that are shown without scrolling."""


class LesionsSection:
    """The table and its buttons.

    Parameters
    ----------
    ui : widgets by name.
    session : what is being worked on.
    """

    def __init__(self, ui: Any, session: Any) -> None:
        self._ui, self._session = ui, session
        self._keys: list[str] = []
        self._pickText, self._paintText = ui.underCursorButton.text, ui.paintButton.text
        self._painting = Painting(ui.segmentEditor, ui.paintBox, self._onPainted)
        self._placing = Placing(ui.addPointButton, ui.lesionsSection, self._onPoint, goesOn=True)
        self._picking = Placing(ui.underCursorButton, ui.lesionsSection, self._onPicked)
        self._buttons = [
            ActionButton(ui.addPointButton, session, "addPoint"),
            ActionButton(ui.underCursorButton, session, "addSegment"),
            ActionButton(ui.paintButton, session, "addSegment"),
            ActionButton(ui.addSegmentButton, session, "addSegment", self._onSegment),
            ActionButton(ui.addBoxButton, session, "addBox", self._onBox),
        ]
        ui.paintButton.connect("clicked(bool)", self._onPaint)
        letGo(ui.segmentSelector)
        table = ui.lesionTable
        shareWidth(table, NAME)
        table.connect("currentCellChanged(int,int,int,int)", self._onRow)
        table.connect("cellChanged(int,int)", self._onCell)
        table.connect("cellClicked(int,int)", self._onClicked)
        self._delete = qt.QShortcut(qt.QKeySequence("Delete"), table)
        self._delete.setContext(qt.Qt.WidgetShortcut)
        self._delete.connect("activated()", self._onDelete)
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        self._crosshair = crosshair
        self._tag = crosshair.AddObserver(crosshair.CursorPositionModifiedEvent, self._onCursor) if crosshair else None

    def leave(self) -> None:
        """Wait for no click any more; what was painted becomes a lesion."""
        self._placing.stop()
        self._picking.stop()
        if self._painting.active:
            self._onPaint(False)

    def cleanup(self) -> None:
        """Leave the views as they were."""
        self._placing.stop()
        self._picking.stop()
        self._painting.finish(None)
        if self._crosshair is not None:
            self._crosshair.RemoveObserver(self._tag)
            self._crosshair = None

    def refresh(self) -> None:
        """Show the session as it is."""
        for button in self._buttons:
            button.refresh()
        if self._painting.active and self._session.source is None:
            self._painting.finish(None)
        if self._session.state == "running":  # who generates has painted and clicked all there is
            self._placing.stop()
            if self._painting.active:
                self._onPaint(False)
        self._showPainting()
        self._ui.underCursorButton.text = self._pickText
        lesions = self._session.lesions.all()
        self._keys = [lesion.key for lesion in lesions]
        table = self._ui.lesionTable
        fill(table, [self._cells(lesion) for lesion in lesions])
        blocked = table.blockSignals(True)
        for row, lesion in enumerate(lesions):
            self._setFlags(row, lesion)
        table.blockSignals(blocked)
        selected = self._session.lesions.selected
        selectRow(table, self._keys.index(selected) if selected in self._keys else -1)
        fitHeight(table, ROWS)

    def _cells(self, lesion: Lesion) -> list[Cell]:
        tip = lesion.message or str(self._session.problem(lesion.key) or "")
        return [
            Cell(lesion.name, _("Double-click to change the name")),
            Cell(operationName(lesion.operation)),
            Cell(sizeText(lesion)),
            Cell(stateName(lesion.state), tip, OFF_COLOR if lesion.state == "failed" else ""),
            Cell("", _("Show it in the views")),
            Cell("✕", _("Take it off the table")),
        ]

    def _setFlags(self, row: int, lesion: Lesion) -> None:
        usual = qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable
        table = self._ui.lesionTable
        for column in range(table.columnCount):
            more = {NAME: qt.Qt.ItemIsEditable, SHOW: qt.Qt.ItemIsUserCheckable}.get(column)
            table.item(row, column).setFlags(usual if more is None else usual | more)
        table.item(row, SHOW).setCheckState(qt.Qt.Checked if lesion.visible else qt.Qt.Unchecked)

    # ------------------------------------------------------------------ the table
    def _onRow(self, row: int, column: int, rowBefore: int, columnBefore: int) -> None:
        if 0 <= row < len(self._keys) and self._keys[row] != self._session.lesions.selected:
            self._session.select(self._keys[row])

    def _onCell(self, row: int, column: int) -> None:
        item = self._ui.lesionTable.item(row, column)
        if column == NAME:
            attempt(self._session, lambda: self._session.update(self._keys[row], name=item.text().strip()))
        elif column == SHOW:
            self._session.update(self._keys[row], visible=item.checkState() == qt.Qt.Checked)
        self.refresh()

    def _onClicked(self, row: int, column: int) -> None:
        if column == REMOVE:
            attempt(self._session, self._session.removeLesion, self._keys[row])

    def _onDelete(self) -> None:
        if self._session.lesions.selected:
            attempt(self._session, self._session.removeLesion, self._session.lesions.selected)

    # ------------------------------------------------------------------ new rows
    def _onPoint(self, ras: Ras) -> None:
        attempt(self._session, self._session.addPoint, ras)

    def _onPicked(self, ras: Ras) -> None:
        found = segmentAt(ras)
        if found is None:
            message = _("There is no visible segment where you have clicked.")
            self._session.failed.emit(RequestError("segment.none", message, _("Click on a segmented tumor, or paint one.")))
            return
        attempt(self._session, self._session.addSegment, *found, "edit")

    def _onCursor(self, *cursor: Any) -> None:
        """While a segment is picked, the button tells which one lies under the mouse."""
        if self._picking.active:
            found = segmentUnderCursor()
            name = found[0].GetSegmentation().GetSegment(found[1]).GetName() if found else ""
            self._ui.underCursorButton.text = name or self._pickText

    def _onSegment(self) -> None:
        selector = self._ui.segmentSelector
        segmentation, segmentId = selector.currentNode(), selector.currentSegmentID()
        if segmentation is None or not segmentId:
            segmentation, segmentId = onlySegment()
            selector.setCurrentNode(segmentation)
            selector.setCurrentSegmentID(segmentId)
        self._session.addSegment(segmentation, segmentId, "edit")

    def _onBox(self) -> None:
        self._session.addBox(boxFor(self._session.source))

    def _onPaint(self, checked: bool) -> None:
        source = self._session.source
        if checked and source is not None:
            self._placing.stop()
            self._picking.stop()
            self._painting.start(source)
        else:
            attempt(self._session, self._takePainted, source)
        self._showPainting()

    def _showPainting(self) -> None:
        self._ui.paintButton.checked = self._painting.active
        self._ui.paintButton.text = _("Done painting") if self._painting.active else self._paintText

    def _onPainted(self, segmentation: Any, segmentId: str) -> None:
        """There is something now: it can be chosen at once what is to be done to it."""
        attempt(self._session, self._session.addSegment, segmentation, segmentId, "insert")

    def _takePainted(self, source: Any) -> None:
        painted = self._painting.finish(source)
        if painted is not None:
            self._session.addSegment(*painted, "insert")


def onlySegment() -> tuple[Any, str]:
    """The segment of the scene, where there is one and no more; or the only one that is called a tumor.

    Raises
    ------
    RequestError : ``segment.choice`` where there is none, or it is not clear which.
    """
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    found = [(node, key) for node in nodes for key in node.GetSegmentation().GetSegmentIDs()]
    tumors = [(node, key) for node, key in found if isTumor(node.GetSegmentation().GetSegment(key))]
    for only in (found, tumors):
        if len(only) == 1:
            return only[0]
    message = _("No segment is chosen.") if found else _("There is no segment in the scene.")
    hint = _("Choose one above, or pick it in a view.") if found else _("Paint one, or load a segmentation.")
    raise RequestError("segment.choice", message, hint)
