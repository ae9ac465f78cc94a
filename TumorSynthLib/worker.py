"""The warm worker, ``python -m TumorSynthLib.worker``: one JSON object a line on stdin, one event a line on stdout.

Lines in
    A request (``protocol.Request``), with an ``id`` if its events are to be told apart. Requests are carried out one
    after the other. One with ``"preview": true`` goes ahead of those that wait, and cancels older ones of its kind.
    An inquiry (``inquiry.Inquiry``) goes ahead of edits that wait, and may be answered before ``ready``.
    ``{"schema": 1, "op": "cancel"}`` cancels the request that runs; with ``"id"`` the one of that id, also while it waits.
    The end of the input cancels everything and ends the worker.

Lines in, where the worker does not see its client's files
    ``{"schema": 1, "op": "have", "id": ..., "names": [...]}`` asks which files the worker has. A name is the SHA-256 of the
    file's bytes with the ending of its own name, such as ``9f86...0a08.nii.gz``.
    ``{"schema": 1, "op": "upload", "id": ..., "name": ..., "offset": 0, "data": ..., "last": false}`` sends a piece of a file
    in base64, the pieces one after the other, one file at a time. ``id`` is that of the request to come.
    A request then names a file as ``upload:NAME``, wherever it would name a path. A name that ends in ``.dcm.tar`` is a folder
    of DICOM slices, one in ``.mhd.tar`` or ``.nrrd.tar`` a header with the file of its voxels, both as tar archives.
    An ``out`` that starts with ``inline:`` asks for the result in lines.

Events out
    ``started``: ``pid`` of this process and ``session``, whether it leads a process group of its own (see ``--session``). It is
    the first event, a moment after the start and long before ``ready``.
    ``ready``: ``schema``, ``bundle`` (id, version, sha256) and ``device`` of the networks that are loaded, null if there
    are none.
    ``progress``: ``id``, ``stage``, ``fraction`` of the whole run, ``seconds_left``.
    ``preview``: ``id``, ``kind`` "mask" and the tumor's mask, before there is any texture, as ``mask_code`` writes it. That of
    a request with ``"preview": true`` lies on a grid of its own, coarser than the scan's where the tumor is large.
    ``have``: ``id``, ``names`` of the files that are here. ``received``: ``id``, ``name``, ``bytes`` of the file so far.
    ``file``: ``id`` and a piece of a result: ``path`` in the result folder, ``data`` in base64, ``last``, on the last piece
    ``sha256`` of the file, and ``fraction`` of the whole result.
    ``done``: ``id``, ``result`` (the result folder, or the request's ``inline:``) and ``changed`` (see ``build_result``); of a
    preview ``result`` null, ``measured`` shape features and ``warnings``; of an inquiry ``result`` null and the answer.
    ``cancelled``: ``id``.
    ``failed``: ``id`` (null for a line that names none), ``code``, ``message``, ``hint``.
    ``log``: ``level``, ``message``.

Everything that is not an event goes to stderr. Files that were sent are kept in a temporary folder as long as the worker lives;
when they become too many, those that were not used for longest are dropped.
"""

import argparse
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from TumorSynthLib.worker_events import EventWriter
from TumorSynthLib.worker_files import GIGABYTE, Uploads
from TumorSynthLib.worker_io import Inbox, claim_streams


def main() -> None:
    """Run the worker until its input ends."""
    options = _options()
    leads = _lead_session() if options.session else False
    # Threads that wait must not burn the cores that the user's other programs need; read when torch and NumPy are imported.
    # The networks run in torch's threads; NumPy's matrices have three columns, for which OpenBLAS's only spin.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _terminate)
    incoming, outgoing = claim_streams()
    events = EventWriter(outgoing)
    events.send("started", pid=os.getpid(), session=leads)
    with Uploads(int(options.uploads * GIGABYTE), lambda text: events.send("log", level="info", message=text)) as uploads:
        inbox = Inbox(events, uploads)
        reader = threading.Thread(target=inbox.read, args=(incoming,), daemon=True)
        reader.start()
        from TumorSynthLib.worker_loop import Worker  # imports torch, which takes seconds

        worker = Worker(inbox, events, uploads)
        worker.load(options.bundle, options.device)
        worker.serve()
        reader.join(1.0)  # it may still have to tell that what waited is cancelled
    events.flush(1.0)
    sys.stderr.flush()
    os._exit(0)  # nothing is left to be done, and to unload torch takes seconds on a busy computer


def _options() -> argparse.Namespace:
    about = "Carries out requests, one line of JSON each."
    parser = argparse.ArgumentParser(prog="python -m TumorSynthLib.worker", description=about)
    parser.add_argument("--bundle", default="base", help="bundle to load at the start [base]")
    parser.add_argument("--device", default="auto", help="device to load it on: auto, cpu, mps, cuda or cuda:N [auto]")
    kept = "gigabytes of files to keep that clients send in lines [4]"
    parser.add_argument("--uploads", type=float, default=4.0, metavar="GB", help=kept)
    session = "lead a session and process group of its own, for a client that starts this through a launcher (not on Windows)"
    parser.add_argument("--session", action="store_true", help=session)
    return parser.parse_args()


def _lead_session() -> bool:
    """Leave the process group that this was started in; whether there is now one of its own.

    Where the client started a launcher, that has another number than this process, and to kill it would leave this one alive.
    The client kills the group of the ``pid`` in ``started`` instead.
    """
    if sys.platform == "win32":
        return False
    with suppress(PermissionError):  # it leads a group already
        os.setsid()
    return os.getpgrp() == os.getpid()


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """End by way of every ``with`` block, so that nothing half-written stays."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
