"""A batch without networks, for tests: an editor that writes bytes, a worker that uses it, and a program that runs both.

``python Testing/stub_batch.py REQUESTS OUT [WORKERS]`` runs a batch in its own process, in so many, or in the Dask cluster of
that address. What a request does is told by the name of its image: ``crash`` kills the process, ``crash-once`` the first that
gets it, ``error`` fails, ``slow`` takes minutes; everything else writes an image and a segmentation in some pieces.
``STUB_LOG`` names a file that is told when an edit begins and ends.
"""

import hashlib
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType, SimpleNamespace

from TumorSynthLib.batch import run_batch
from TumorSynthLib.batch_dask import DaskCluster
from TumorSynthLib.batch_runners import InProcess, Runner
from TumorSynthLib.batch_workers import WorkerPool
from TumorSynthLib.errors import Cancelled, ImageError, TumorSynthError
from TumorSynthLib.protocol import Request, parse_line
from TumorSynthLib.result import ResultWriter, build_result

PIECES = 5
PIECE_SECONDS = 0.004


class StubEditor:
    """Writes bytes that follow from the request's seed."""

    def run(self, request: Request, progress: Callable[[str, float], None] | None = None) -> Path:
        assert request.out is not None
        note("begin", request)
        report = progress or (lambda stage, fraction: None)
        name = Path(request.image or "").name
        if name == "error":
            raise ImageError("image.missing", "There is no image.", "Give one.")
        with ResultWriter(request.out, request.overwrite) as writer:
            contents = hashlib.sha256(str(request.seed).encode()).digest() * 500
            for number in range(PIECES if name != "slow" else 6000):
                if number == 2 and name.startswith("crash"):
                    crash(name, request)
                report("sampling", min(1.0, number / PIECES))
                for file in ("image.nrrd", "segmentation.seg.nrrd"):
                    with writer.path(file).open("ab") as stream:
                        stream.write(contents)
                time.sleep(PIECE_SECONDS if name != "slow" else 0.02)
            writer.write_json(result(request, writer.path("image.nrrd")))
            folder = writer.commit()
        note("end", request)
        return folder


def open_stub(bundle: str, device: str) -> StubEditor:
    """An editor for any bundle."""
    return StubEditor()


def open_other_bundle(bundle: str, device: str) -> StubEditor:
    """An editor with a bundle of the checksum 22."""
    editor = StubEditor()
    editor.bundle = SimpleNamespace(sha256="22")  # type: ignore[attr-defined]
    return editor


def result(request: Request, image: Path) -> dict[str, object]:
    """What ``result.json`` says."""
    return build_result(
        request.to_dict(),
        requested={"shape_VoxelVolume": 1000.0},
        measured={"shape_VoxelVolume": 990.0},
        warnings=[],
        candidates=[],
        timings={"sampling": 0.1},
        bundle={"id": request.bundle, "version": "1", "sha256": "00"},
        device="cpu",
        steps=request.steps,
        result_sha256=hashlib.sha256(image.read_bytes()).hexdigest(),
    )


def crash(name: str, request: Request) -> None:
    """End this process as a lack of memory would; for ``crash-once`` only the first time."""
    if name == "crash-once" and log_lines().count(f"begin {Path(request.out or '').name}") > 1:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def note(what: str, request: Request) -> None:
    """Write a line of the log."""
    if "STUB_LOG" in os.environ:
        with Path(os.environ["STUB_LOG"]).open("a") as stream:
            stream.write(f"{what} {Path(request.out or '').name}\n")


def log_lines() -> list[str]:
    """The log so far."""
    return Path(os.environ["STUB_LOG"]).read_text().splitlines()


def main() -> None:
    """Stand for ``TumorSynthLib.worker``: requests come in on stdin, events go out on stdout, the end of input cancels."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    closed = threading.Event()
    if os.environ.get("STUB_BROKEN"):
        sys.exit("This worker is broken.")

    def read() -> None:
        for line in sys.stdin:
            if '"op": "cancel"' not in line:
                lines.put(line)
        closed.set()

    def send(event: str, **values: object) -> None:
        with suppress(OSError):
            os.write(1, json.dumps({"event": event, **values}).encode() + b"\n")

    threading.Thread(target=read, daemon=True).start()
    send("ready")
    while not closed.is_set():
        with suppress(queue.Empty):
            serve(parse_line(lines.get(timeout=0.05)), send, closed)
    os._exit(0)


def serve(request: Request, send: Callable[..., None], closed: threading.Event) -> None:
    """Carry out one request."""

    def report(stage: str, fraction: float) -> None:
        if closed.is_set():
            raise Cancelled
        send("progress", id=request.id, stage=stage, fraction=fraction)

    try:
        send("done", id=request.id, result=str(StubEditor().run(request, report)))
    except Cancelled:
        send("cancelled", id=request.id)
    except TumorSynthError as error:
        send("failed", id=request.id, code=error.code, message=error.message, hint=error.hint)


def stub_environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment in which every Python takes ``main`` for the worker.

    Parameters
    ----------
    folder : gets the file that does it.
    more : further variables.
    """
    here = Path(__file__).resolve().parent
    text = "import sys\nif 'TumorSynthLib.batch_guard' in sys.orig_argv:\n    import stub_batch\n    stub_batch.install()\n"
    (folder / "sitecustomize.py").write_text(text)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(here.parent), str(here)]), **(more or {})}


def program(requests: str, out: str, where: str = "here") -> None:
    """Run a batch here, in so many workers, or in a cluster."""
    import stub_batch  # under this name workers find it too

    runner: Runner = InProcess(open_stub)
    if where.isdigit():
        runner = WorkerPool(int(where))
    elif where != "here":
        runner = DaskCluster(where, stub_batch.open_stub)
    summary = run_batch(requests, out, runner=runner, bundle_sha256=lambda name: "00")
    sys.exit(1 if summary.failures else 0)


def install() -> None:
    """Put ``main`` in the place of the worker's."""
    worker = ModuleType("TumorSynthLib.worker")
    worker.main = main  # type: ignore[attr-defined]
    sys.modules[worker.__name__] = worker


if __name__ == "__main__":
    program(*sys.argv[1:])
