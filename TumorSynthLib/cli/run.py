"""The command ``run``: one request from a file, of any operation."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from TumorSynthLib.cli.edit import run_request
from TumorSynthLib.errors import RequestError
from TumorSynthLib.protocol import parse_line


def run(
    request: Annotated[Path, typer.Argument(help="File with one request as JSON.", metavar="REQUEST")],
    out: Annotated[Path | None, typer.Option("--out", help="Result folder, instead of the request's own.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing result folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    worker: Annotated[
        str | None, typer.Option("--worker", help="A command that starts Python on another computer.", metavar="COMMAND")
    ] = None,
) -> None:
    """Carry out one request from a JSON file, for example several lesions in one scan (operation lesions)."""
    try:
        text = request.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except OSError as error:
        message = f"{request} cannot be read: {error.strerror or error}."
        raise RequestError("request.file", message, "Give a file with one JSON object.") from error
    except UnicodeDecodeError as error:
        raise RequestError("request.json", f"{request} is not UTF-8: {error}.", "Save the file as UTF-8.") from error
    parsed = parse_line(text)
    if out is not None:
        parsed = replace(parsed, out=str(out))
    if overwrite:
        parsed = replace(parsed, overwrite=True)
    if parsed.preview:
        raise RequestError("request.preview", "A preview has no result to show.", "Remove 'preview' from the request.")
    run_request(parsed, as_json, worker)
