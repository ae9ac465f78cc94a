"""A worker that starts at once and does what the request's ``image`` is called, for tests of those who talk to a worker.

``python stand_in_worker.py ...`` stands for ``python``: it takes the arguments of a worker and speaks its protocol.
"""

import json
import os
import queue
import sys
import threading
import time
from typing import Any

LINES: "queue.Queue[dict[str, Any]]" = queue.Queue()


def tell(event: str, **values: Any) -> None:
    """Write an event, in two pieces."""
    line = json.dumps({"event": event, **values}) + "\n"
    middle = len(line) // 2
    for piece in (line[:middle], line[middle:]):
        sys.stdout.write(piece)
        sys.stdout.flush()


def option(name: str, default: str) -> str:
    """The value of an argument."""
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def read() -> None:
    """Lines of the input; its end is the worker's."""
    for line in sys.stdin:
        LINES.put(json.loads(line))
    if "stubborn" not in option("--bundle", ""):
        os._exit(0)


def cancelled(seconds: float) -> bool:
    """Wait; whether a cancel has come meanwhile."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            line = LINES.get(timeout=left)
        except queue.Empty:
            return False
        if line["op"] == "cancel":
            return True
        LINES.put(line)
        time.sleep(0.005)
    return False


def act(values: dict[str, Any]) -> None:
    """Do what the image is called."""
    name, act = values["id"], os.path.basename(values.get("image") or "quick").partition(".")[0]
    if values.get("preview"):
        tell("preview", id=name, kind="mask", data="AAAA")
    if act == "crash":
        sys.stderr.write("before\nlast words")
        sys.stderr.flush()
        os._exit(3)
    if act == "fail":
        tell("failed", id=name, code="image.missing", message="There is no image.", hint="Choose another one.")
        return
    if act == "flood":
        for number in range(20_000):
            sys.stderr.write(f"line {number}\n")
    if act == "deaf":
        time.sleep(3.0)
    for number in range(200 if act == "slow" else 2):
        tell("progress", id=name, stage="sampling", fraction=number / 200, seconds_left=2.0)
        if act == "slow" and cancelled(0.05):
            tell("cancelled", id=name)
            return
    folder = values.get("out")
    if folder and not os.path.isdir(folder):
        os.makedirs(folder)
    tell("done", id=name, result=folder, pid=os.getpid(), op=values["op"], seed=values.get("seed"))


def main() -> None:
    """Serve until the input ends."""
    session = "--session" in sys.argv and hasattr(os, "setsid")
    if session and os.getpgrp() != os.getpid():
        os.setsid()
    tell("started", pid=os.getpid(), session=session)
    bundle = option("--bundle", "base")
    if bundle == "broken":
        sys.exit("ModuleNotFoundError: No module named 'torch'")
    threading.Thread(target=read, daemon=True).start()
    sys.stderr.write(f"starts with {bundle}\n")
    if bundle == "late":
        time.sleep(1.0)
    asked = option("--device", "auto")
    loaded = None if bundle == "none" else {"id": bundle, "version": "0", "sha256": ""}
    if loaded is None:
        tell("log", level="warning", message="It has no weights.")
    tell("ready", schema=1, bundle=loaded, device=None if loaded is None else "cpu" if asked == "auto" else asked)
    while True:
        values = LINES.get()
        if values["op"] != "cancel":
            act(values)


if __name__ == "__main__":
    main()
