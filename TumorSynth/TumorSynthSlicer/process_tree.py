"""Which process comes from which, so that a launcher ends together with what it has launched (not on Windows)."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process that runs now."""

    parent: int
    """Number of the process that it comes from."""
    group: int
    """Number of its process group."""
    born: str
    """When it was started: a number that is used again belongs to another time."""


Table = Mapping[int, Process]


def processes() -> dict[int, Process]:
    """All processes by their numbers; takes some milliseconds."""
    return dict(_fromProc() if (_PROC / "self" / "stat").exists() else _fromPs())


def comesFrom(pid: int, ancestor: int, table: Table) -> bool:
    """Whether a process is another one or was started by it, be it through others."""
    seen = set()
    while pid in table and pid != ancestor and pid not in seen:
        seen.add(pid)
        pid = table[pid].parent
    return pid == ancestor


def killTree(root: int, known: Mapping[int, Process]) -> None:
    """Kill a process, everything that comes from it, and what is left of others that did so once.

    Parameters
    ----------
    root : number of the process; 0 for one that has ended.
    known : processes that came from it when they were looked at, perhaps before their parent ended.
    """
    table = processes()
    roots = {pid for pid, process in known.items() if pid in table and table[pid].born == process.born}
    roots |= {root} & set(table)
    for pid in [pid for pid in table if any(comesFrom(pid, ancestor, table) for ancestor in roots)]:
        kill = os.killpg if table[pid].group == pid else os.kill
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def _fromProc() -> Iterator[tuple[int, Process]]:
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
            words = (folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            yield int(folder.name), Process(parent=int(words[1]), group=int(words[2]), born=words[19])


def _fromPs() -> Iterator[tuple[int, Process]]:
    command = ["/bin/ps", "-A", "-o", "pid=,ppid=,pgid=,lstart="]
    for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines():
        pid, parent, group, *born = line.split()
        yield int(pid), Process(parent=int(parent), group=int(group), born=" ".join(born))
