"""Lines from a stream of bytes that arrives in pieces (standard library only)."""

from collections.abc import Iterator


class LineBuffer:
    """Cuts pieces of a stream into lines; a piece may hold half a line or half a letter.

    Parameters
    ----------
    limit : longest line in bytes. A longer one is dropped as it arrives, so that it cannot fill the memory.

    Examples
    --------
    >>> buffer = LineBuffer(limit=5)
    >>> list(buffer.feed(b"one\\ntw"))
    [b'one']
    >>> list(buffer.feed(b"o\\nthree and more\\n"))
    [b'two', None]
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._pieces: list[bytes] = []
        self._length = 0

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """The lines that ``data`` completes, without line ends; None for each that was too long."""
        *ended, rest = data.split(b"\n")
        for piece in ended:
            self._add(piece)
            yield self._take()
        self._add(rest)

    def _add(self, piece: bytes) -> None:
        self._length += len(piece)
        if self._length > self.limit:
            self._pieces.clear()
        elif piece:
            self._pieces.append(piece)

    def _take(self) -> bytes | None:
        line = b"".join(self._pieces) if self._length <= self.limit else None
        self._pieces, self._length = [], 0
        return line
