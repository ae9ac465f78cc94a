"""The commands that make one result: ``insert``, ``remove`` and their kin."""

import re
import shlex
from collections.abc import Callable
from inspect import Signature
from pathlib import Path
from typing import Any

from TumorSynthLib.cli.options import PARAMETERS, request_values
from TumorSynthLib.cli.report import Progress, progress_bar, show_result
from TumorSynthLib.errors import RequestError
from TumorSynthLib.memory import is_lack_of_memory, lack_of_memory
from TumorSynthLib.protocol import Request, parse_request


def edit_command(op: str) -> Callable[..., None]:
    """The function behind a command, with the signature that typer reads its options from."""
    parameters = PARAMETERS[op]

    def command(**options: Any) -> None:
        as_json, worker = options.pop("json"), options.pop("worker")
        run_request(parse_request(request_values(op, options)), as_json, worker)

    command.__name__ = op
    command.__signature__ = Signature(list(parameters))  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def run_request(request: Request, as_json: bool, worker: str | None) -> None:
    """Carry out a request, here or elsewhere, and show its result.

    Parameters
    ----------
    request : with ``out``.
    as_json : whether the result is shown for machines, without a progress bar.
    worker : command that starts Python on the computer that shall work, such as ``ssh gpu-host python``; None is this one.

    Raises
    ------
    TumorSynthError : with what was found, expected and to be done.
    """
    with progress_bar(as_json) as progress:
        folder = _run_here(request, progress) if worker is None else _run_there(request, progress, worker)
    show_result(folder, as_json)


def _run_here(request: Request, progress: Progress | None) -> Path:
    from TumorSynthLib.pipeline import run

    stages = ["reading"]

    def follow(stage: str, fraction: float) -> None:
        stages.append(stage)
        if progress is not None:
            progress(stage, fraction)

    try:
        return run(request, progress=follow)
    except (RuntimeError, MemoryError) as error:
        if not is_lack_of_memory(error):
            raise
        raise lack_of_memory(stages[-1], request.device, request.drawn_at_once) from error


def _run_there(request: Request, progress: Progress | None, worker: str) -> Path:
    """Start a worker that does not see this computer's files, and let it work; Ctrl-C cancels and ends it."""
    from TumorSynthLib.worker_client import Event, WorkerClient

    def follow(event: Event) -> None:
        if progress is not None and event["event"] == "progress":
            progress(event["stage"], event["fraction"])

    if progress is not None:
        progress("starting", 0.0)
    with WorkerClient(_words(worker), arguments=_arguments(request), inline=True) as client:
        return client.run(request, follow)


def _words(worker: str) -> list[str]:
    try:
        words = shlex.split(worker)
    except ValueError as error:
        raise RequestError("worker.command", f"--worker found {worker!r}: {error}.", "Close the quotation.") from error
    if not words:
        raise RequestError("worker.command", "--worker is empty.", 'Give a command such as "ssh gpu-host python".')
    return words


def _arguments(request: Request) -> list[str]:
    """What the worker loads at its start. Behind ssh there is a shell, so the name of a bundle must be a plain word."""
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", request.bundle)
    return [*(["--bundle", request.bundle] if plain else []), "--device", request.device]
