"""The lesions of the panel's table, one of which is selected."""

import json
import random
from typing import Any

from TumorSynthLib.errors import RequestError
from TumorSynthSlicer.lesion import Lesion, operationsFor
from TumorSynthSlicer.signals import Signal

_SEEDS = 10_000
"""Seeds of new lesions are below this, so that a person can read and type them."""


class LesionList:
    """Lesions in the order in which they were added.

    Examples
    --------
    >>> table = LesionList()
    >>> first = table.add("point", "insert")
    >>> first.name, table.selected == first.key
    ('Lesion 1', True)
    >>> table.update(first.key, shape={"volume_ml": 8.0}).shape
    {'volume_ml': 8.0}
    """

    def __init__(self) -> None:
        self.changed = Signal()
        """Emitted with the key of the lesion that changed, came or went; with None when more than one did, or the choice."""
        self._lesions: dict[str, Lesion] = {}
        self._selected = ""
        self._last = 0

    def all(self) -> list[Lesion]:
        """Every lesion."""
        return list(self._lesions.values())

    def get(self, key: str) -> Lesion:
        """One lesion.

        Raises
        ------
        RequestError : when there is none with this key.
        """
        if key not in self._lesions:
            raise RequestError("lesion.unknown", f"There is no lesion {key!r:.60}.", "Choose one from the table.")
        return self._lesions[key]

    def __contains__(self, key: str) -> bool:
        return key in self._lesions

    def __len__(self) -> int:
        return len(self._lesions)

    @property
    def selected(self) -> str:
        """Key of the selected lesion, empty for none."""
        return self._selected

    def select(self, key: str) -> None:
        """Select a lesion, or none with an empty key.

        Raises
        ------
        RequestError : as ``get``.
        """
        if key:
            self.get(key)
        if key != self._selected:
            self._selected = key
            self.changed.emit(None)

    def add(self, place: str, operation: str = "insert", name: str | None = None, **more: Any) -> Lesion:
        """Add a lesion and select it.

        Parameters
        ----------
        place, operation : what tells where it is, and what is to be done there.
        name : None for one that counts up: "Lesion 1" for new tumors, "Existing 1" for those that are there.
        more : its other fields; the seed is drawn where none is given.

        Raises
        ------
        RequestError : for what does not fit together.
        """
        operationsFor(place)
        key = self._freeKey()
        called = name or self._freeName("Lesion" if operation == "insert" else "Existing")
        more.setdefault("seed", random.randrange(_SEEDS))
        lesion = Lesion(key, called, place).withChanges(operation=operation, **more)
        self._lesions[key] = lesion
        self._selected = key
        self.changed.emit(key)
        return lesion

    def update(self, key: str, **changes: Any) -> Lesion:
        """Change fields of a lesion; nothing is told where they are as they were.

        Raises
        ------
        RequestError : as ``get`` and ``Lesion.withChanges``; the lesion then stays as it was.
        """
        before = self.get(key)
        after = before.withChanges(**changes)
        if after != before:
            self._lesions[key] = after
            self.changed.emit(key)
        return after

    def remove(self, key: str) -> None:
        """Take a lesion off the list; the one after it, or else the last, is then selected.

        Raises
        ------
        RequestError : as ``get``.
        """
        self.get(key)
        keys = list(self._lesions)
        position = keys.index(key)
        del self._lesions[key]
        if self._selected == key:
            left = keys[:position] + keys[position + 1 :]
            self._selected = left[min(position, len(left) - 1)] if left else ""
        self.changed.emit(key)

    def clear(self) -> None:
        """Take all lesions off the list."""
        if self._lesions:
            self._lesions, self._selected = {}, ""
            self.changed.emit(None)

    def toJson(self) -> str:
        """The lesions as JSON."""
        return json.dumps([lesion.toDict() for lesion in self.all()])

    def fromJson(self, text: str) -> None:
        """Take the lesions from what ``toJson`` wrote; the list stays as it was where that cannot be read.

        Raises
        ------
        RequestError : ``lesion.json`` for anything else.
        """
        try:
            values = json.loads(text or "[]")
            if not isinstance(values, list):
                raise ValueError("it is no list")
            found = {lesion.key: lesion for lesion in map(Lesion.fromDict, values)}
        except (ValueError, RecursionError, RequestError) as error:
            message = f"The lesions that were saved with the scene cannot be read: {error}"
            raise RequestError("lesion.json", message, "Add the lesions again.") from error
        if found != self._lesions:
            self._lesions = found
            if self._selected not in found:
                self._selected = next(iter(found), "")
            self.changed.emit(None)

    def _freeKey(self) -> str:
        """A key that no lesion has had, since what was kept and can be redone still names them."""
        numbers = [int(key[1:]) for key in self._lesions if key[1:].isdecimal()]
        self._last = max([self._last, *numbers]) + 1
        return f"L{self._last}"

    def _freeName(self, word: str) -> str:
        names = {lesion.name for lesion in self.all()}
        return next(name for name in (f"{word} {number}" for number in range(1, len(names) + 2)) if name not in names)
