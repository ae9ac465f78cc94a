"""The main path from a request to its result folder, with models that stay in memory."""

from pathlib import Path

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.models import Models
from TumorSynthLib.possible import check_possible
from TumorSynthLib.protocol import Request
from TumorSynthLib.result import ResultWriter
from TumorSynthLib.runs import Edit, Grow, Lesions, MaskPreview, Run, Shape
from TumorSynthLib.stages import Progress

_KINDS: dict[str, type[Run]] = {"grow": Grow, "lesions": Lesions, "shape": Shape}
"""Operations whose result is more or less than one edited scan."""


class Editor(Models):
    """Runs requests with the networks of one bundle on one device, loaded once; see ``Models``."""

    def run(self, request: Request, progress: Progress | None = None, preview: MaskPreview | None = None) -> Path:
        """Carry out a request and write its result folder.

        Parameters
        ----------
        request : a checked request with ``out``.
        progress : called with a stage and the share of the whole run that is done; may raise to cancel.
        preview : called with the tumor's mask (bool, on the scan's grid) and its grid as soon as they are known.

        Returns
        -------
        The result folder.

        Raises
        ------
        TumorSynthError : with what was found, expected and to be done; then nothing is left behind.
        """
        check_possible(request, self.bundle)
        assert request.out is not None
        with ResultWriter(request.out, request.overwrite) as writer:
            _KINDS.get(request.op, Edit)(self, request, writer, progress, preview).carry_out()
            return writer.commit()


def run(request: Request, *, bundle: Bundle | None = None, progress: Progress | None = None) -> Path:
    """Carry out one request; see ``Editor.run``. For many, keep an ``Editor``."""
    check_possible(request)
    return Editor(bundle or request.bundle, request.device).run(request, progress)
