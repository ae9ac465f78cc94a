"""The program ``tumorsynth``, also ``python -m TumorSynthLib``.

Exit code 0 means success, 1 an error, 2 a command that cannot be understood, 130 a run stopped by Ctrl-C. An error is
one line on stderr. Nothing heavy is imported until a command runs.
"""

import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from TumorSynthLib.cli import plan, ranges, tools
from TumorSynthLib.cli.dicom import dicom
from TumorSynthLib.cli.edit import edit_command
from TumorSynthLib.cli.evaluate import evaluate
from TumorSynthLib.cli.prepare import prepare
from TumorSynthLib.cli.reader_study import reader_study
from TumorSynthLib.cli.run import run
from TumorSynthLib.errors import TumorSynthError
from TumorSynthLib.result import versions

__all__ = ["app", "main"]

_UsageError: Any = typer.BadParameter.__bases__[0]  # its own module moved between versions of typer

OPERATIONS = {
    "insert": "Insert a new tumor at a point, in a box or in a painted mask.",
    "edit": "Give a tumor that is in the scan another texture, another shape, or both.",
    "remove": "Replace a painted or segmented region by plausible healthy tissue.",
    "move": "Take a tumor out and put it elsewhere, with its shape and texture.",
    "grow": "Show a tumor at a series of volumes, one result for each.",
    "shape": "Make a tumor's mask alone.",
}
"""Edit operations that work, with their help."""


class _OneLineErrors(TyperGroup):
    """A group of commands that ends every failure with one line on stderr and an exit code."""

    def main(self, args: Sequence[str] | None = None, **options: Any) -> Any:  # type: ignore[override]
        try:
            code = super().main(args, **(options | {"standalone_mode": False}))
        except TumorSynthError as error:
            code = _fail(f"{error.message}  {error.hint}", 1)
        except _UsageError as error:
            code = _fail(f"{error.format_message()}  See --help.", 2)
        except (OSError, MemoryError) as error:
            code = _fail(str(error) or "Out of memory.", 1)
        except (KeyboardInterrupt, typer.Abort):
            code = 130
        if code == 130:
            typer.echo("Stopped.", err=True)
        sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> int:
    """One line on stderr, whatever the message holds; two spaces stand before the hint."""
    lines = (part.strip() for part in message.splitlines())
    typer.echo(f"error: {' '.join(line for line in lines if line).strip()}", err=True)
    return code


app = typer.Typer(cls=_OneLineErrors, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def _program(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the versions that numbers depend on.", is_eager=True)
    ] = False,
) -> None:
    """Insert, edit and remove tumors in CT, MR and PET scans, steered by radiomics. Research only, not for clinical use."""
    if version:
        typer.echo("\n".join(f"{name} {number}" for name, number in versions().items()))
        raise typer.Exit()
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


for _op, _help in OPERATIONS.items():
    app.command(_op, help=_help)(edit_command(_op))
_COMMANDS = (run, tools.batch, plan.plan, ranges.ranges, tools.features, tools.bundles, dicom, prepare, evaluate)
for _command in _COMMANDS:
    app.command(_command.__name__)(_command)
app.add_typer(reader_study, name="reader-study")


def main() -> None:
    """Run the program on the arguments of this process."""
    signal.signal(signal.SIGTERM, _terminate)
    app(prog_name="tumorsynth")


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """End by way of every ``with`` block, so that a batch system that stops the job finds nothing half-written."""
    sys.exit(128 + number)
