"""What the session asks the worker beside its edits: bundles, domain, plausible ranges, and measurements."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from TumorSynthLib.errors import TumorSynthError
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.method_words import BRIDGE
from TumorSynthSlicer.requests import Settings, bundlesInquiry, domainInquiry, measureInquiry, rangesInquiry
from TumorSynthSlicer.session_work import Prepared
from TumorSynthSlicer.tasks import Steps, Task
from TumorSynthSlicer.timers import Delayed

RANGES_MILLISECONDS = 80
"""How long changes are collected before the worker is asked for ranges."""
_GONE = ("cancelled", "place.gone", "scan.gone", "segment.missing")

Answer = Mapping[str, Any]


class Questions:
    """Keeps what the worker has answered last.

    Parameters
    ----------
    service : the worker. It is asked only while it lives, so that looking at a scan starts nothing.
    settings : those of the session as they are now.
    onChanged : called when an answer has changed something.
    onFailed : called with errors that a user should see.
    """

    def __init__(
        self,
        service: Any,
        settings: Callable[[], Settings],
        onChanged: Callable[[], None],
        onFailed: Callable[[TumorSynthError], None],
    ) -> None:
        self._service, self._settings = service, settings
        self._onChanged, self._onFailed = onChanged, onFailed
        self._timer = Delayed(RANGES_MILLISECONDS, self._askRanges)
        self._wanted: Lesion | None = None
        self._round = 0
        self._tasks: list[Task[Prepared]] = []
        self.bundle: dict[str, Any] = {}
        """The bundle that is used, as the worker tells it; empty while it has not."""
        self.detected = ""
        """Domain that the scan shows, empty where that is not known."""
        self.candidates: list[str] = []
        """Domains that the scan may show, where more than one may be."""
        self.ranges: dict[str, Any] | None = None
        """Plausible ranges beside what is asked for."""
        self.warnings: list[str] = []
        """Why what is asked for is implausible, one sentence each."""

    @property
    def alive(self) -> bool:
        """Whether questions reach a worker."""
        return self._service.state in ("starting", "ready", "busy")

    @property
    def domains(self) -> list[dict[str, Any]]:
        """Domains of the bundle: id, organ, modality, unit."""
        return list(self.bundle.get("domains", ()))

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods of the bundle; none while they are not known. A worker that does not tell has the bridge alone."""
        return tuple(self.bundle.get("methods", (BRIDGE,))) if self.bundle else ()

    def forgetScan(self) -> None:
        """Answers about the last scan count no more, nor do those that are on their way."""
        self._round += 1
        self.stop()
        self.detected, self.candidates, self.ranges, self.warnings = "", [], None, []

    def stop(self) -> None:
        """Ask nothing more."""
        self._timer.stop()
        self._wanted = None
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()

    def askBundles(self) -> None:
        """Ask which domains there are."""
        if self.alive:
            self._service.ask(bundlesInquiry(), self._onBundles, self._unlessGone, kind="bundles")

    def askDomain(self, prepared: Steps[Prepared], modality: str) -> None:
        """Ask what a scan shows.

        Parameters
        ----------
        prepared : makes its file.
        modality : that DICOM or the voxels' unit tell; empty where they do not.
        """
        number = self._round

        def ask(ready: Prepared) -> None:
            values = domainInquiry(self._settings(), str(ready.image), modality)
            failed = partial(self._unlessPast, number)
            self._service.ask(values, lambda answer: self._onDomain(number, answer), failed, kind="domain")

        if self.alive:
            self._start(prepared, ask)

    def askRanges(self, lesion: Lesion | None) -> None:
        """Ask soon what is plausible beside what a lesion asks for; None asks nothing."""
        self._wanted = lesion
        if lesion is not None:
            self._timer.ask()

    def askMeasured(self, prepared: Steps[Prepared], onMeasured: Callable[[dict[str, float], dict[str, float]], None]) -> None:
        """Ask for the features of a tumor that is there.

        Parameters
        ----------
        prepared : makes its files.
        onMeasured : called with the features of the tumor, and with those of its core, which may be none.
        """
        number = self._round

        def ask(ready: Prepared) -> None:
            (lesion, place), *_ = ready.edits
            core = lesion.label + 1 if lesion.coreSegmentId else None
            values = measureInquiry(self._settings(), str(ready.image), str(place.mask), lesion.label, core)
            self._service.ask(values, answered, partial(self._unlessPast, number), kind=f"measure {lesion.key}")

        def answered(answer: Answer) -> None:
            if number == self._round:
                onMeasured(dict(answer["measured"]), dict(answer.get("measured_core") or {}))

        self._start(prepared, ask)

    def _start(self, prepared: Steps[Prepared], then: Callable[[Prepared], None]) -> None:
        self._tasks = [task for task in self._tasks if not task.over]
        self._tasks.append(Task(prepared, then, self._unlessGone))

    def _unlessPast(self, number: int, error: TumorSynthError) -> None:
        """An answer about the last scan counts no more, and its files may be gone."""
        if number == self._round:
            self._unlessGone(error)

    def _unlessGone(self, error: TumorSynthError) -> None:
        """Nobody asked for these answers: that there is nothing to ask about any more is no news."""
        if error.code not in _GONE:
            self._onFailed(error)

    def _askRanges(self) -> None:
        settings, lesion, number = self._settings(), self._wanted, self._round
        if lesion is None or not self.alive or settings.domain == "auto":
            return

        def answered(answer: Answer) -> None:
            if number == self._round:
                self.ranges, self.warnings = dict(answer["ranges"]), list(answer.get("warnings", ()))
                self._onChanged()

        values = rangesInquiry(settings, lesion.shape, lesion.texture)
        self._service.ask(values, answered, lambda error: None, kind="ranges")

    def _onBundles(self, answer: Answer) -> None:
        known = {str(bundle["id"]): dict(bundle) for bundle in answer["bundles"] if "error" not in bundle}
        first = next(iter(known.values()), {})
        self.bundle = known.get(str(self._service.bundle.get("id", "")), known.get(self._settings().bundle, first))
        self._onChanged()

    def _onDomain(self, number: int, answer: Answer) -> None:
        if number != self._round:
            return
        self.detected = str(answer["domain"] or "")
        self.candidates = [] if self.detected else [str(one) for one in answer["candidates"]]
        self._onChanged()
