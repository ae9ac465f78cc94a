"""Questions to the worker whose answers come when the scan is another."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from slicer_case import SlicerCase

from TumorSynthLib.errors import ImageError, TumorSynthError
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.requests import Place, Settings
from TumorSynthSlicer.session_questions import Questions
from TumorSynthSlicer.session_work import Prepared
from TumorSynthSlicer.tasks import Steps


class LateAnswersTest(SlicerCase):
    """A worker that answers when the test says so."""

    def setUp(self) -> None:
        super().setUp()
        self.asked: dict[str, tuple[Any, Any]] = {}
        self.errors: list[TumorSynthError] = []
        self.measured: list[dict[str, float]] = []
        service = SimpleNamespace(state="ready", bundle={}, ask=self.ask)
        settings = Settings(bundle="tiny", domain="soft-tissue-ct", device="cpu")
        self.questions = Questions(service, lambda: settings, lambda: None, self.errors.append)
        self.settings = settings

    def ask(self, values: dict[str, Any], onAnswer: Any, onFailed: Any, kind: str) -> None:
        """What the service does, but nothing is answered yet."""
        self.asked[values["op"]] = (onAnswer, onFailed)

    def prepared(self) -> Steps[Prepared]:
        """A scan and a lesion in a file."""
        yield
        lesion = Lesion("one", "Tumor", "segment", "edit", segmentId="Segment_1")
        return Prepared(Path("image.nrrd"), ((lesion, Place(mask="mask.nrrd")),), self.settings)

    def askBoth(self) -> None:
        """Ask what the scan shows, and for the features of a tumor in it."""
        self.questions.askDomain(self.prepared(), "CT")
        self.questions.askMeasured(self.prepared(), lambda whole, core: self.measured.append(whole))
        self.waitUntil(lambda: set(self.asked) == {"domain", "measure"})

    def test_that_the_file_of_the_last_scan_is_gone_is_no_news(self) -> None:
        self.askBoth()
        self.questions.forgetScan()
        for _, failed in self.asked.values():
            failed(ImageError("image.missing", "'image.nrrd' does not exist."))
        self.assertEqual(self.errors, [])

    def test_that_the_file_of_this_scan_is_gone_is_told(self) -> None:
        self.askBoth()
        for _, failed in self.asked.values():
            failed(ImageError("image.missing", "'image.nrrd' does not exist."))
        self.assertEqual([error.code for error in self.errors], ["image.missing"] * 2)

    def test_answers_about_the_last_scan_count_no_more(self) -> None:
        self.askBoth()
        self.questions.forgetScan()
        self.asked["domain"][0]({"domain": "lung-ct", "candidates": []})
        self.asked["measure"][0]({"measured": {"firstorder_Mean": 1.0}})
        self.assertEqual((self.questions.detected, self.measured), ("", []))
