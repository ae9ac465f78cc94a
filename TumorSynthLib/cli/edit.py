"""The commands that make one result: ``insert``, ``remove`` and their kin."""

from collections.abc import Callable
from inspect import Signature
from typing import Any

from TumorSynthLib.cli.options import PARAMETERS, request_values
from TumorSynthLib.cli.report import progress_bar, show_result
from TumorSynthLib.protocol import parse_request


def edit_command(op: str) -> Callable[..., None]:
    """The function behind a command, with the signature that typer reads its options from."""
    parameters = PARAMETERS[op]

    def command(**options: Any) -> None:
        as_json = options.pop("json")
        request = parse_request(request_values(op, options))
        from TumorSynthLib.pipeline import run

        with progress_bar(as_json) as progress:
            folder = run(request, progress=progress)
        show_result(folder, as_json)

    command.__name__ = op
    command.__signature__ = Signature(list(parameters))  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command
