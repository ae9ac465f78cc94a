"""Which results of an earlier run still hold: those of the same request, from the same files, with the same networks."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from TumorSynthLib.batch_journal import Journal
from TumorSynthLib.bundle import load_bundle
from TumorSynthLib.errors import BundleError, OutputError, RequestError, TumorSynthError
from TumorSynthLib.input_files import input_files, with_absolute_files
from TumorSynthLib.protocol import Request, parse_request
from TumorSynthLib.result import RESULT_FILE, read_result

_NOT_COMPARED = ("out", "overwrite", "id")


@dataclass(frozen=True)
class Job:
    """One line to carry out."""

    number: int
    """The line's number."""
    request: Request
    """What to do; ``out`` is absolute."""
    bundle_sha256: str | None = None
    """Checksum of the bundle as this computer has it; None where it has none."""
    replaces: int | None = None
    """When the ``result.json`` was written that is there already, in ns; None without one."""
    attempt: int = 1
    """1, or 2 after a process was lost that had the line."""


@dataclass(frozen=True)
class Verdict:
    """What is to be done about a line: one of ``result``, ``refused`` and ``job`` is there."""

    result: dict[str, Any] | None = None
    """What is there already, and holds."""
    refused: TumorSynthError | None = None
    """Why the line must not run."""
    job: Job | None = None
    """What is to be carried out."""
    warning: str = ""
    """What the user should know."""


class Keeper:
    """Judges lines by what their folders hold.

    Parameters
    ----------
    journal : knows the checksums of the requests' files.
    bundle_sha256 : the checksum of a bundle by its name; None for one that is not there.
    """

    def __init__(self, journal: Journal, bundle_sha256: Callable[[str], str | None]) -> None:
        self._journal = journal
        self._ask_bundle = bundle_sha256
        self._bundles: dict[str, str | None] = {}

    def judge(self, number: int, request: Request) -> Verdict:
        """Whether a line's result is there, must be made, or made again.

        A result of another request is replaced only where the line says ``overwrite``. One of the same request is made
        again when its files or its bundle have changed since.
        """
        assert request.out is not None, "every line of a batch has a folder"
        job = Job(number, request, self._bundle(request.bundle), _written(request.out))
        try:
            result = read_result(request.out)
        except OutputError:
            return Verdict(job=job)
        differing = _differences(result, request)
        if differing and not request.overwrite:
            message = f"{request.out} holds the result of another request (other: {', '.join(differing)})."
            error = OutputError("output.exists", message, "Choose another folder or ask to overwrite.")
            return Verdict(refused=error)
        if differing:
            return Verdict(job=job)
        changed, unknown = self._changes(result, job)
        if changed:
            again = replace(job, request=replace(request, overwrite=True))
            return Verdict(job=again, warning=f"changed since the last run, so it runs again: {', '.join(changed)}")
        lost = f"cannot be read, so the result that is there is kept: {', '.join(unknown)}"
        return Verdict(result=result, warning=lost if unknown else "")

    def stamps(self, request: Request) -> dict[str, str | None]:
        """The state of a request's files, for ``learn`` after it was carried out."""
        files = input_files(with_absolute_files(request.to_dict()))
        return {file: self._journal.stamp(file) for file in files.values()}

    def learn(self, request: Request, result: Mapping[str, Any], stamps: Mapping[str, str | None]) -> None:
        """Remember the checksums that a new result tells, so that no file is read for them again."""
        files = input_files(with_absolute_files(request.to_dict()))
        for name, digest in _digests(result).items():
            if name in files:
                self._journal.learn(files[name], stamps.get(files[name]), digest)

    def _changes(self, result: Mapping[str, Any], job: Job) -> tuple[list[str], list[str]]:
        """Files (and the bundle) that are not those of a result, and files that cannot be read."""
        files = input_files(with_absolute_files(job.request.to_dict()))
        changed, unknown = [], []
        for name, digest in _digests(result).items():
            now = self._journal.sha256(files[name]) if name in files else digest
            if now is None:
                unknown.append(f"{name} {files[name]}")
            elif now != digest:
                changed.append(f"{name} {files[name]}")
        bundle = result.get("bundle")
        then = bundle.get("sha256") if isinstance(bundle, Mapping) else None
        if None not in (then, job.bundle_sha256) and then != job.bundle_sha256:
            changed.append(f"bundle {job.request.bundle}")
        return changed, unknown

    def _bundle(self, name: str) -> str | None:
        if name not in self._bundles:
            self._bundles[name] = self._ask_bundle(name)
        return self._bundles[name]


def is_finished(job: Job) -> bool:
    """Whether the result of a job has come to be, whoever made it."""
    assert job.request.out is not None
    try:
        result = read_result(job.request.out)
    except OutputError:
        return False
    return not _differences(result, job.request) and _written(job.request.out) != job.replaces


def installed_bundle(name: str) -> str | None:
    """Checksum of a bundle on this computer, None where it is not whole."""
    try:
        return load_bundle(name).sha256
    except BundleError:
        return None


def _digests(result: Mapping[str, Any]) -> dict[str, str]:
    """Checksums of the files that a result was made from, by their place in the request."""
    inputs = result.get("inputs")
    found = inputs if isinstance(inputs, Mapping) and inputs else {"image": result.get("source_sha256")}
    return {name: digest for name, digest in found.items() if isinstance(digest, str)}


def _differences(result: Mapping[str, Any], request: Request) -> list[str]:
    """Fields in which a result's request is another one. Fields that it does not know yet had their defaults."""
    try:
        then = _compared(parse_request(result.get("request") or {}))
    except RequestError:
        return ["all"]
    return [name for name, value in _compared(request).items() if then[name] != value]


def _compared(request: Request) -> dict[str, Any]:
    values = with_absolute_files(request.to_dict())
    return {name: value for name, value in values.items() if name not in _NOT_COMPARED}


def _written(out: str) -> int | None:
    """When a folder's result was written, ns."""
    try:
        return os.stat(Path(out) / RESULT_FILE).st_mtime_ns
    except (OSError, ValueError):
        return None
