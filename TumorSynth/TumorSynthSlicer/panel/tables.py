"""Tables that are filled again and again without losing what is selected."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import qt

OFF_COLOR = "#c0392b"
"""Of what is not as it should be; dark enough on white and light enough on black."""

_PADDING = 8
"""Pixels above and below the text of a row."""


@dataclass(frozen=True)
class Cell:
    """What one cell shows."""

    text: str
    """Its text."""
    tip: str = ""
    """Its tooltip."""
    color: str = ""
    """Color of its text; empty for the usual one."""
    number: bool = False
    """Whether it is aligned like a number."""


def fill(table: Any, rows: Sequence[Sequence[Cell]]) -> None:
    """Show rows in a table without any signal of it; its selection stays.

    Parameters
    ----------
    table : a QTableWidget with its columns.
    rows : one cell for each column.
    """
    blocked = table.blockSignals(True)
    table.setRowCount(len(rows))
    model = table.model()
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            if table.item(row, column) is None:  # the model's own items belong to the table without doubt
                model.setData(model.index(row, column), cell.text, qt.Qt.EditRole)
            _show(table.item(row, column), cell)
    table.blockSignals(blocked)


def selectRow(table: Any, row: int) -> None:
    """Select a row without any signal of it; nothing for -1."""
    if table.currentRow() == row:
        return
    blocked = table.blockSignals(True)
    if row < 0:
        table.clearSelection()
    else:
        table.setCurrentCell(row, 0)
    table.blockSignals(blocked)


def fitHeight(table: Any, mostRows: int) -> None:
    """Make a table as high as its rows need, so that the panel scrolls and not the table in it.

    Parameters
    ----------
    mostRows : rows that are shown at most without scrolling.
    """
    line = table.verticalHeader().defaultSectionSize
    table.setFixedHeight((1 + min(max(table.rowCount, 1), mostRows)) * line + 2 * table.frameWidth)


def shareWidth(table: Any, wide: int) -> None:
    """Give every row the height of its text, every column what its contents need, and the rest to one of them.

    Parameters
    ----------
    wide : the column that takes the rest.
    """
    table.verticalHeader().setDefaultSectionSize(table.fontMetrics().height() + _PADDING)
    header = table.horizontalHeader()
    header.setStretchLastSection(False)
    for column in range(table.columnCount):
        mode = qt.QHeaderView.Stretch if column == wide else qt.QHeaderView.ResizeToContents
        header.setSectionResizeMode(column, mode)


@contextmanager
def widthsLater(table: Any, wide: int) -> Iterator[None]:
    """Change many cells inside of the ``with`` block: columns look for their width once, and not after each cell.

    Parameters
    ----------
    wide : as for ``shareWidth``.
    """
    header = table.horizontalHeader()
    for column in range(table.columnCount):
        header.setSectionResizeMode(column, qt.QHeaderView.Fixed)
    try:
        yield
    finally:
        shareWidth(table, wide)


def _show(item: Any, cell: Cell) -> None:
    if item.text() != cell.text:
        item.setText(cell.text)
    item.setToolTip(cell.tip)
    item.setTextAlignment(int((qt.Qt.AlignRight if cell.number else qt.Qt.AlignLeft) | qt.Qt.AlignVCenter))
    item.setForeground(qt.QBrush(qt.QColor(cell.color)) if cell.color else qt.QBrush())
