"""The warm worker, ``python -m TumorSynthLib.worker``: one JSON object a line on stdin, one event a line on stdout.

Lines in
    A request (``protocol.Request``), with an ``id`` if its events are to be told apart. Requests are carried out one
    after the other.
    ``{"schema": 1, "op": "cancel"}`` cancels the request that runs; with ``"id"`` the one of that id, also while it waits.
    The end of the input cancels everything and ends the worker.

Events out
    ``ready``: ``schema``, ``bundle`` (id, version, sha256) and ``device`` of the networks that are loaded, null if there
    are none.
    ``progress``: ``id``, ``stage``, ``fraction`` of the whole run, ``seconds_left``.
    ``preview``: ``id``, ``kind`` "mask" and the tumor's mask, before there is any texture, as ``mask_code`` writes it.
    ``done``: ``id``, ``result`` (the result folder). ``cancelled``: ``id``.
    ``failed``: ``id`` (null for a line that names none), ``code``, ``message``, ``hint``.
    ``log``: ``level``, ``message``.

Volumes travel as files. Everything that is not an event goes to stderr.
"""

import argparse
import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

from TumorSynthLib.worker_io import EventWriter, Inbox, claim_streams


def main() -> None:
    """Run the worker until its input ends."""
    about = "Carries out requests, one line of JSON each."
    parser = argparse.ArgumentParser(prog="python -m TumorSynthLib.worker", description=about)
    parser.add_argument("--bundle", default="base", help="bundle to load at the start [base]")
    parser.add_argument("--device", default="auto", help="device to load it on: auto, cpu, mps, cuda or cuda:N [auto]")
    options = parser.parse_args()
    # Threads that wait must not burn the cores that the user's other programs need; read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _terminate)
    incoming, outgoing = claim_streams()
    events = EventWriter(outgoing)
    inbox = Inbox(events)
    reader = threading.Thread(target=inbox.read, args=(incoming,), daemon=True)
    reader.start()
    from TumorSynthLib.worker_loop import Worker  # imports torch, which takes seconds

    worker = Worker(inbox, events)
    worker.load(options.bundle, options.device)
    worker.serve()
    reader.join(1.0)  # it may still have to tell that what waited is cancelled
    sys.stderr.flush()
    os._exit(0)  # nothing is left to be done, and to unload torch takes seconds on a busy computer


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """End by way of every ``with`` block, so that nothing half-written stays."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
