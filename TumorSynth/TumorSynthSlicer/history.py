"""Edits that were kept, with undo and redo, and what that costs in memory (no 3D Slicer here)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from TumorSynthSlicer.signals import Signal

MOST_BYTES = 1 << 29
"""Memory for what can be undone, half a gigabyte: some hundred edits, or few of very large tumors."""


class Sized(Protocol):
    """What takes memory."""

    @property
    def bytes(self) -> int:
        """How much of it."""
        ...


@dataclass(frozen=True, eq=False)
class Entry:
    """One kept edit."""

    patch: Sized
    """The voxels before and after, see ``patches.Patch``."""
    segmentsBefore: Mapping[str, Sized | None] = field(default_factory=dict)
    """Segments by ID as they were, see ``segments.SegmentState``; None where there was none."""
    segmentsAfter: Mapping[str, Sized | None] = field(default_factory=dict)
    """The same segments as they are after the edit."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """What the manifest says of the edit."""
    scanFile: Path | None = None
    """File with the scan after the edit."""
    more: Any = None
    """What else belongs to it, for example the table of lesions before and after."""

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        states = [*self.segmentsBefore.values(), *self.segmentsAfter.values()]
        return self.patch.bytes + sum(state.bytes for state in states if state is not None)


class History:
    """Kept edits in their order.

    Parameters
    ----------
    apply, revert : put an edit into the scene and take it out of it. What they raise leaves the history as it was.
    mostBytes : of memory. Beyond it the oldest edits can no longer be undone; the newest always can.
    """

    def __init__(self, apply: Callable[[Entry], None], revert: Callable[[Entry], None], mostBytes: int = MOST_BYTES) -> None:
        self._apply, self._revert = apply, revert
        self._mostBytes = mostBytes
        self._done: list[Entry] = []
        self._undone: list[Entry] = []
        self.changed = Signal()
        """Emitted without arguments after every change."""
        self.forgotten = Signal()
        """Emitted with an entry that can come back no more, so that its files may go."""
        self.permanent: list[Mapping[str, Any]] = []
        """Manifests of kept edits that can no longer be undone, oldest first."""

    @property
    def canUndo(self) -> bool:
        """Whether there is an edit to undo."""
        return bool(self._done)

    @property
    def canRedo(self) -> bool:
        """Whether there is an undone edit to put back."""
        return bool(self._undone)

    @property
    def bytes(self) -> int:
        """Memory that all edits take."""
        return sum(entry.bytes for entry in self._done + self._undone)

    @property
    def current(self) -> Entry | None:
        """The newest edit that is not undone."""
        return self._done[-1] if self._done else None

    @property
    def manifests(self) -> list[Mapping[str, Any]]:
        """What the manifest says of every edit that is in the scan now, oldest first."""
        return [*self.permanent, *(entry.manifest for entry in self._done)]

    def keep(self, entry: Entry) -> None:
        """Take up an edit that is in the scene already. What was undone can no longer be redone."""
        gone, self._undone = self._undone, []
        self._done.append(entry)
        while len(self._done) > 1 and self.bytes > self._mostBytes:
            oldest = self._done.pop(0)
            self.permanent.append(oldest.manifest)
            gone.append(oldest)
        for lost in gone:
            self.forgotten.emit(lost)
        self.changed.emit()

    def undo(self) -> Entry | None:
        """Take the newest edit out of the scene; None where there is none."""
        if not self._done:
            return None
        self._revert(self._done[-1])
        self._undone.append(self._done.pop())
        self.changed.emit()
        return self._undone[-1]

    def redo(self) -> Entry | None:
        """Put the edit that was undone last back into the scene; None where there is none."""
        if not self._undone:
            return None
        self._apply(self._undone[-1])
        self._done.append(self._undone.pop())
        self.changed.emit()
        return self._done[-1]

    def clear(self) -> None:
        """Forget everything; the scene stays as it is."""
        gone, self._done, self._undone, self.permanent = self._done + self._undone, [], [], []
        for lost in gone:
            self.forgotten.emit(lost)
        self.changed.emit()
