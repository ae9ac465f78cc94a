"""What a bundle must be before anything of it is used (standard library only)."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from TumorSynthLib.errors import BundleError

SCHEMA = 1
"""Version of ``bundle.json``."""
RESTORE = "Restore the bundle from its source."
"""Hint for a bundle that is damaged."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
_TEXTS = ("id", "version", "licence", "intended_use")
_DOMAIN_FIELDS = (
    "id",
    "organ",
    "modality",
    "unit",
    "normalization",
    "center",
    "scale",
    "bin_width",
    "pyradiomics",
    "statistics",
)


def is_plain_name(name: str) -> bool:
    """Whether a name is letters, digits, ``-``, ``_`` and inner dots alone, so that it cannot lead elsewhere.

    >>> is_plain_name("base"), is_plain_name("../base"), is_plain_name("")
    (True, False, False)
    """
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def parse_description(content: bytes, path: Path) -> dict[str, Any]:
    """The contents of ``bundle.json``, complete and of a schema that this version knows.

    Raises
    ------
    BundleError : ``bundle.broken``, ``bundle.schema`` or ``bundle.licence``.
    """
    try:
        info = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BundleError("bundle.broken", f"{path} is not valid JSON: {error}.", RESTORE) from error
    if not isinstance(info, dict):
        raise BundleError("bundle.broken", f"{path} holds a {type(info).__name__}, expected an object.", RESTORE)
    schema = info.get("schema")
    if schema != SCHEMA or isinstance(schema, bool):
        message = f"{path} has schema {schema!r}, expected {SCHEMA}."
        raise BundleError("bundle.schema", message, "Use a version of TumorSynth that is as new as the bundle.")
    licence = info.get("licence")
    if not isinstance(licence, str) or not licence.strip():
        raise BundleError("bundle.licence", f"{path} names no licence.", "A bundle is used only with a licence.")
    _check_fields(info, path)
    return info


def _check_fields(info: Mapping[str, Any], path: Path) -> None:
    for name in _TEXTS:
        if not isinstance(info.get(name), str) or not info[name].strip():
            raise BundleError("bundle.broken", f"{path} has no text '{name}'.", RESTORE)
    if not is_plain_name(info["id"]):
        raise BundleError("bundle.broken", f"{path} has the id {info['id']!r}, expected a plain name.", RESTORE)
    if not info.get("training_data"):
        raise BundleError("bundle.broken", f"{path} does not say what it was trained on ('training_data').", RESTORE)
    for name in ("networks", "files"):
        values = info.get(name)
        if not isinstance(values, dict) or not all(isinstance(value, dict) for value in values.values()):
            raise BundleError("bundle.broken", f"{path} has no '{name}' that is an object of objects.", RESTORE)
    domains = info.get("domains")
    if not isinstance(domains, list) or not domains:
        raise BundleError("bundle.broken", f"{path} lists no domains.", RESTORE)
    for entry in domains:
        missing = [name for name in _DOMAIN_FIELDS if not isinstance(entry, dict) or name not in entry]
        if missing:
            raise BundleError("bundle.broken", f"A domain in {path} lacks {', '.join(missing)}.", RESTORE)


def check_files(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Every file of a bundle is a safetensors file, is there, and is the one described.

    Raises
    ------
    BundleError : ``bundle.pickle`` or ``bundle.checksum``.
    """
    for name, known in files.items():
        if not is_plain_name(name) or Path(name).suffix != ".safetensors":
            message = f"The bundle {folder} names the file {name!r}, expected .safetensors in the same folder."
            raise BundleError("bundle.pickle", message, "Weights in other formats are never loaded.")
        path = folder / name
        if not path.is_file():
            raise BundleError("bundle.checksum", f"{path} is missing.", RESTORE)
        found = path.stat().st_size
        if found != known.get("bytes"):
            message = f"{path} has {found} bytes, expected {known.get('bytes')}."
            raise BundleError("bundle.checksum", message, RESTORE)
        if sha256_of(path) != known.get("sha256"):
            raise BundleError("bundle.checksum", f"{path} does not match its checksum.", RESTORE)
