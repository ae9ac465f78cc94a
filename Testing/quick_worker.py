"""Workers that start at once, for tests: a server imports everything and forks a worker for each caller.

``python quick_worker.py SOCKET FOLDER`` stands for the ``python`` of another computer, which works in FOLDER: it passes its
pipes on to a fork of the server, writes that one's number to stderr, and ends as it ends.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_MODULE = "TumorSynthLib.worker"
_SERVE = "import sys; sys.path[:0] = sys.argv[2:]; import quick_worker; quick_worker.serve(sys.argv[1])"


@contextmanager
def quick_server(folder: Path) -> Iterator[Path]:
    """Run a server; its socket lies in a folder."""
    place = folder / "workers"
    here = Path(__file__).resolve().parent
    command = [sys.executable, "-c", _SERVE, str(place), str(here), str(ROOT)]
    # Libraries whose threads are running cannot be forked.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as server:
        yield place
        assert server.stdin is not None
        server.stdin.close()
        server.kill()


def command(place: Path, folder: Path) -> list[str]:
    """What stands for ``python`` in a client's command."""
    return [sys.executable, str(Path(__file__).resolve()), str(place), str(folder)]


def worker_pid(log: str) -> int:
    """The number of the worker itself, from a client's log."""
    return next(int(line.split()[1]) for line in log.splitlines() if line.startswith("worker "))


def serve(place: str) -> None:
    """Fork a worker for each connection."""
    import TumorSynthLib.worker_loop  # noqa: F401  # so that the forks need not
    from TumorSynthLib import worker

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(place)
        listening.listen()
        while True:
            caller, _ = listening.accept()
            message, pipes, _, _ = socket.recv_fds(caller, 1 << 20, 3)
            if not message:  # whoever called was killed before it could ask
                caller.close()
                continue
            asked = json.loads(message)
            pid = os.fork()
            if pid == 0:
                os.setsid()
                for number, pipe in enumerate(pipes):
                    os.dup2(pipe, number)
                    os.close(pipe)
                caller.close()
                listening.close()
                os.chdir(asked["folder"])
                os.environ.clear()
                os.environ.update(asked["environment"])
                sys.argv = ["worker", *asked["arguments"]]
                try:
                    worker.main()
                finally:
                    os._exit(1)
            for pipe in pipes:
                os.close(pipe)
            caller.sendall(f"{pid}\n".encode())
            threading.Thread(target=_tell_end, args=(pid, caller), daemon=True).start()


def _tell_end(pid: int, caller: socket.socket) -> None:
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    with caller, contextlib.suppress(OSError):  # nobody may wait for it any more
        caller.sendall(f"{code if code >= 0 else 128 - code}\n".encode())


def _call(place: str, folder: str, words: list[str]) -> int:
    """Have a worker forked and wait for its end; for anything but a worker this is Python itself."""
    if _MODULE not in words:
        os.chdir(folder)
        os.execv(sys.executable, [sys.executable, *words])
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        end = time.monotonic() + 600.0
        while True:
            try:
                server.connect(place)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > end:
                    return 1
                time.sleep(0.05)
        arguments = words[words.index(_MODULE) + 1 :]
        message = {"folder": folder, "arguments": arguments, "environment": dict(os.environ)}
        socket.send_fds(server, [json.dumps(message).encode()], [0, 1, 2])
        answers = server.makefile()
        print(f"worker {int(answers.readline())}", file=sys.stderr, flush=True)
        empty = os.open(os.devnull, os.O_RDWR)
        os.dup2(empty, 0)
        os.dup2(empty, 1)
        os.dup2(empty, 2)
        return int(answers.readline() or 1)


if __name__ == "__main__":
    sys.exit(_call(sys.argv[1], sys.argv[2], sys.argv[3:]))
