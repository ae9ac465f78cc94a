"""Stand-ins for the session and the worker, so that the panel's sections are tested alone."""

from types import SimpleNamespace
from typing import Any

import slicer
from slicer_case import SlicerCase

from TumorSynthLib.methods import METHODS
from TumorSynthSlicer.lesion_list import LesionList
from TumorSynthSlicer.paths import part
from TumorSynthSlicer.signals import Signal

CT = {"id": "abdomen-ct", "organ": "abdomen", "modality": "CT", "unit": "HU"}
LUNG = {"id": "lung-ct", "organ": "lung", "modality": "CT", "unit": "HU"}


class FakeParameters:
    """What the parameter node keeps."""

    def __init__(self) -> None:
        self.source = self.region = self.outputVolume = self.outputSegmentation = None
        self.regionSegmentId = ""
        self.domain = "auto"
        self.method = "bridge"
        self.variants = 1


class FakeService:
    """A worker that only says what it is told to say, and remembers what it was asked to do."""

    def __init__(self) -> None:
        self.stateChanged, self.logged, self.progressed = Signal(), Signal(), Signal()
        self.state = "stopped"
        self.device = self.notice = ""
        self.error: Any = None
        self.calls: list[Any] = []

    def start(self) -> None:
        """Ready at once."""
        self.calls.append("start")
        self.state, self.device = "ready", "cpu"
        self.stateChanged.emit()

    def stop(self) -> None:
        """Stopped at once."""
        self.calls.append("stop")
        self.state, self.device = "stopped", ""
        self.stateChanged.emit()

    def restart(self) -> None:
        """Stop and start."""
        self.calls.append("restart")

    def ask(self, values: Any, onAnswer: Any, onFailed: Any = None, kind: Any = None) -> None:
        """Remember the question; the test answers."""
        self.calls.append(("ask", dict(values), onAnswer))


class FakeSession:
    """A session whose state the test sets; every call is remembered, and ``refused`` says which actions are not possible."""

    def __init__(self) -> None:
        self.changed, self.progressed, self.failed = Signal(), Signal(), Signal()
        self.previewed, self.exported = Signal(), Signal()
        self.parameters = FakeParameters()
        self.service = FakeService()
        self.lesions = LesionList()
        self.source = self.scan = None
        self.domain, self.domains, self.ranges = "", [], None
        self.variants: list[Any] = []
        self.shown = -1
        self.state = "noScan"
        self.dicomNote = ""
        self.review: Any = None
        self.outline = SimpleNamespace(measured={}, message="")
        self.questions = SimpleNamespace(candidates=[], bundle={"id": "tiny"})
        self.methods: tuple[str, ...] = METHODS
        self.methodLack = ""
        self.refused: dict[str, str] = {}
        self.calls: list[Any] = []

    @property
    def domainFacts(self) -> Any:
        """The domain as the worker tells it."""
        return next((domain for domain in self.domains if domain["id"] == self.domain), None)

    @property
    def method(self) -> str:
        """The method that tumors are made by."""
        return self.parameters.method

    @property
    def selectedLesion(self) -> Any:
        """The lesion that is edited."""
        return self.lesions.get(self.lesions.selected) if self.lesions.selected else None

    def problem(self, key: str) -> str:
        """Why a lesion cannot be made."""
        return ""

    def why(self, action: str) -> str:
        """Why an action is not possible."""
        return self.refused.get(action, "")

    def __getattr__(self, name: str) -> Any:
        """Any other method remembers that it was called."""
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *values, **named: self.calls.append((name, *values, named) if named else (name, *values))


def variant(seed: int, name: str = "1", **result: Any) -> Any:
    """A variant of the session."""
    return SimpleNamespace(name=name, seed=seed, result={"requested": {}, "measured": {}, "warnings": [], **result})


class PanelCase(SlicerCase):
    """The panel's widgets as the application loads them, with a stand-in for the session."""

    def setUp(self) -> None:
        super().setUp()
        self.widget = slicer.util.loadUI(str(part("Resources/UI/TumorSynth.ui")))
        self.widget.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.session = FakeSession()

    def tearDown(self) -> None:
        self.widget.close()
        self.widget.setMRMLScene(None)
        super().tearDown()

    def texts(self, table: Any) -> list[list[str]]:
        """What a table shows."""
        return [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]
