"""The result folder: whole or absent, with a ``result.json`` that says what was asked, measured and used."""

import json
import math
import platform
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from TumorSynthLib.atomic import AtomicFolder
from TumorSynthLib.errors import OutputError

SCHEMA = 1
"""Version of ``result.json``."""
SYNTHETIC = "SYNTHETIC"
"""Every result says so."""
RESULT_FILE = "result.json"
"""Name of the description in a result folder."""

_PACKAGES = {
    "tumorsynth": ("tumorsynth",),
    "torch": ("torch",),
    "monai": ("monai",),
    "SimpleITK": ("SimpleITK",),
    "pyradiomics": ("pyradiomics-bhklab", "pyradiomics"),
    "numpy": ("numpy",),
}


class ResultWriter(AtomicFolder):
    """A result folder under construction, see ``AtomicFolder``.

    Parameters
    ----------
    out : the result folder.
    overwrite : whether an existing result folder is replaced; a folder with other files never is.

    Raises
    ------
    OutputError : as ``AtomicFolder``.

    Examples
    --------
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "result"
    >>> with ResultWriter(place) as writer:
    ...     writer.write_json({"synthetic": SYNTHETIC, "measured": {"shape_Sphericity": 0.8}})
    ...     folder = writer.commit()
    >>> read_result(folder)["measured"]
    {'shape_Sphericity': 0.8}
    """

    def __init__(self, out: str | Path, overwrite: bool = False) -> None:
        super().__init__(out, overwrite, marker=RESULT_FILE)

    def __enter__(self) -> "ResultWriter":
        super().__enter__()
        return self

    def write_json(self, values: Mapping[str, Any], folder: str = "") -> None:
        """Write ``result.json`` into the folder, or into a sub-folder of it."""
        text = json.dumps(plain(values), indent=2, allow_nan=False) + "\n"
        self.path(f"{folder}/{RESULT_FILE}" if folder else RESULT_FILE).write_text(text, encoding="utf-8")


def build_result(
    request: Mapping[str, Any],
    *,
    requested: Mapping[str, float],
    measured: Mapping[str, float],
    warnings: Sequence[str],
    candidates: Any,
    timings: Mapping[str, float],
    bundle: Mapping[str, str],
    device: str,
    steps: int,
    inputs: Mapping[str, str] | None = None,
    source_sha256: str | None = None,
    result_sha256: str | None = None,
    changed: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Any]:
    """The contents of ``result.json``.

    Parameters
    ----------
    request : the complete request, ``Request.to_dict()``.
    requested : wanted features by PyRadiomics name, lengths in mm, volumes in mm^3.
    measured : features of the result in the same names and units.
    warnings : sentences for the user.
    candidates : what was drawn and how it scored.
    timings : seconds by stage.
    bundle : ``Bundle.identity``.
    device : where the networks ran.
    steps : sampling steps that were taken.
    inputs : SHA-256 of every file that the request reads, by the field that names it.
    source_sha256 : of the bytes of the input image; None without one.
    result_sha256 : of the bytes of the written image; None when only a mask was asked for.
    changed : ``start`` and ``stop`` (i, j, k; the latter not included) of the box outside of which the written image equals the
        input bit for bit, empty where all of it does; None when only a mask was asked for.
    """
    return {
        "schema": SCHEMA,
        "synthetic": SYNTHETIC,
        "request": dict(request),
        "requested": dict(requested),
        "measured": dict(measured),
        "warnings": list(warnings),
        "candidates": candidates,
        "timings": {stage: round(float(seconds), 4) for stage, seconds in timings.items()},
        "device": device,
        "steps": steps,
        "bundle": dict(bundle),
        "inputs": dict(inputs or {}),
        "source_sha256": source_sha256,
        "result_sha256": result_sha256,
        "changed": None if changed is None else dict(changed),
        "versions": dict(versions()),
    }


def read_result(folder: str | Path) -> dict[str, Any]:
    """The ``result.json`` of a result folder.

    Raises
    ------
    OutputError : ``output.result`` when it is missing or not a result.
    """
    path = Path(folder) / RESULT_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise OutputError("output.result", f"{path} cannot be read: {error}.", "Make the result again.") from error
    if not isinstance(values, dict) or values.get("synthetic") != SYNTHETIC:
        raise OutputError("output.result", f"{path} is not a result of TumorSynth.", "Choose a result folder.")
    return values


@lru_cache(maxsize=1)
def versions() -> Mapping[str, str]:
    """Versions of Python, of this library and of the libraries that numbers depend on."""
    return {"python": platform.python_version()} | {name: _version(names) for name, names in _PACKAGES.items()}


def _version(names: Sequence[str]) -> str:
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "not installed"


def plain(value: Any) -> Any:
    """A copy that strict JSON can hold: tuples as lists, NumPy values as numbers, numbers that are not finite as null.

    >>> plain({"a": (1, float("nan")), "b": Path("x")})
    {'a': [1, None], 'b': 'x'}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy arrays and scalars, tensors
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
