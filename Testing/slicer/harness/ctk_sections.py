"""Stand-ins for what CTK collapses: sections and groups."""

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from .declared import Property, Signal, kept

HEADER_HEIGHT = 24
"""Pixels of the line that stays when something is collapsed."""


UNLIMITED = (1 << 24) - 1
"""Qt's greatest height of a widget."""


class _Contents:
    """Children that are hidden as long as their parent is collapsed."""

    _put_away: tuple[Any, ...] = ()

    def _showContents(self, shown: bool) -> None:
        if shown:
            for child in self._put_away:
                child.setVisible(True)
            self._put_away = ()
            return
        direct = QtCore.Qt.FindChildOption.FindDirectChildrenOnly
        children = [child for child in self.findChildren(QtWidgets.QWidget, options=direct) if not child.isHidden()]
        self._put_away += tuple(children)
        for child in children:
            child.setVisible(False)


class ctkCollapsibleButton(_Contents, QtWidgets.QAbstractButton):
    """A section of a panel under a button."""

    contentsCollapsed = Signal(bool)
    SIGNALS = ("contentsCollapsed(bool)",)

    def __init__(self, *arguments: Any) -> None:
        text = next((value for value in arguments if isinstance(value, str)), "")
        super().__init__(next((value for value in arguments if not isinstance(value, str)), None))
        self.text = text
        self.checkable = True
        self.checked = True
        self.setContentsMargins(0, HEADER_HEIGHT, 0, 0)
        self.connect("toggled(bool)", self._onToggled)

    def _onToggled(self, expanded: bool) -> None:
        self._showContents(expanded)
        self.setMaximumHeight(UNLIMITED if expanded else HEADER_HEIGHT)
        self.contentsCollapsed.emit(not expanded)

    def _collapse(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = Property(bool, lambda self: not self.checked, _collapse)
    collapsedHeight = kept(int, "collapsedHeight", 10)
    contentsFrameShape = kept(int, "contentsFrameShape", 6)

    def showEvent(self, event: Any) -> None:
        """Put away what came into the section while it was collapsed."""
        if self.collapsed:
            self._showContents(False)
        super().showEvent(event)

    def sizeHint(self) -> Any:
        """The header, and the contents where they are shown."""
        layout = self.layout()
        inside = layout.totalSizeHint() if layout and not self.collapsed else QtCore.QSize(80, 0)
        return QtCore.QSize(inside.width(), max(inside.height(), HEADER_HEIGHT))

    minimumSizeHint = sizeHint

    def paintEvent(self, event: Any) -> None:
        """The header: an arrow and the title."""
        painter = QtGui.QPainter(self)
        header = QtCore.QRect(0, 0, self.width, HEADER_HEIGHT - 2)
        painter.fillRect(header, self.palette.color(QtGui.QPalette.ColorRole.Midlight))
        place = header.adjusted(6, 0, 0, 0)
        painter.drawText(place, QtCore.Qt.AlignmentFlag.AlignVCenter, ("▸ " if self.collapsed else "▾ ") + self.text)
        painter.end()


class ctkCollapsibleGroupBox(_Contents, QtWidgets.QGroupBox):
    """A group under a title that hides it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*(value for value in arguments if value is not None))
        self.checkable = True
        self.checked = True
        self.connect("toggled(bool)", self._onToggled)

    def _onToggled(self, expanded: bool) -> None:
        self._showContents(expanded)
        self.setFlat(not expanded)
        self.setMaximumHeight(UNLIMITED if expanded else HEADER_HEIGHT)

    collapsed = Property(bool, lambda self: not self.checked, lambda self, value: self.setChecked(not value))
    collapsedHeight = kept(int, "collapsedHeight", 14)

    def showEvent(self, event: Any) -> None:
        """Put away what came into the group while it was collapsed."""
        if self.collapsed:
            self._showContents(False)
        super().showEvent(event)
