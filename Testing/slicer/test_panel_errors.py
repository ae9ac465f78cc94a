"""What the panel says of errors, and what it offers against them."""

from panel_fakes import PanelCase

from TumorSynthLib.errors import Cancelled, TumorSynthError
from TumorSynthSlicer import commands
from TumorSynthSlicer.panel.error_display import ErrorDisplay
from TumorSynthSlicer.panel.ways_out import WayOut, wayOut
from TumorSynthSlicer.panel.worker_section import WorkerSection


class ErrorTest(PanelCase):
    """The window of an error."""

    def setUp(self) -> None:
        super().setUp()
        self.done: list[str] = []
        self.display = ErrorDisplay(self.widget, lambda: self.done.append("log"), lambda: False)
        self.addCleanup(self.display.close)

    def press(self, text: str) -> None:
        """Press a button of the window."""
        next(button for button in self.display.box.buttons() if button.text == text).click()

    def testItSaysWhatHappenedAndWhatToDo(self) -> None:
        self.display.show(TumorSynthError("x", "The scan has <b>holes</b>.", "Fill them."))
        self.assertEqual(self.display.box.text, "The scan has <b>holes</b>.")
        self.assertEqual(self.display.box.informativeText, "Fill them.")
        self.press("Show log")
        self.assertEqual(self.done, ["log"])

    def testANewerOneTakesItsPlace(self) -> None:
        self.display.show(TumorSynthError("x", "First."))
        self.display.show(TumorSynthError("x", "Second."), WayOut("Help", lambda: self.done.append("help")))
        self.assertEqual(self.display.box.text, "Second.")
        self.press("Help")
        self.assertEqual(self.done, ["help"])

    def testNoWindowOpensForWhatTheUserCancelledOrWhereNobodyIs(self) -> None:
        self.display.show(Cancelled())
        self.assertIsNone(self.display.box)
        nobody = ErrorDisplay(self.widget, lambda: None, lambda: True)
        nobody.show(TumorSynthError("x", "First."))
        self.assertIsNone(nobody.box)


class WayOutTest(PanelCase):
    """What can be done with one press."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(commands.save, commands.load())
        commands.save(commands.WorkerChoice())
        self.session.parameters.candidates = 4
        self.session.parameters.method = "flow"
        self.worker = WorkerSection(self.ui, self.session, self.session.service, lambda: None)

    def offer(self, code: str) -> WayOut | None:
        """What is offered against an error."""
        return wayOut(TumorSynthError(code, "It broke."), self.session, self.worker)

    def testMemoryIsSavedByFewerCandidatesAndThenByTheCpu(self) -> None:
        self.offer("device.memory").take()
        self.assertEqual(self.session.parameters.candidates, 1)
        self.offer("device.memory").take()
        self.assertEqual(commands.load().device, "cpu")
        self.assertEqual(self.ui.deviceBox.itemData(self.ui.deviceBox.currentIndex), "cpu")
        self.assertIsNone(self.offer("device.memory"))

    def testFewerCandidatesAreNotOfferedWhereTheyAreDrawnOneByOne(self) -> None:
        self.session.parameters.method = "bridge"
        self.offer("device.memory").take()
        self.assertEqual((self.session.parameters.candidates, commands.load().device), (4, "cpu"))

    def testAMissingDeviceIsReplaced(self) -> None:
        self.worker.chooseDevice("cuda:3")
        self.assertEqual(commands.load().device, "cuda:3")
        self.offer("device.missing").take()
        self.assertEqual(commands.load().device, "auto")
        self.assertIsNone(self.offer("device.missing"))

    def testABentScanIsReplacedByACopyThatIsNot(self) -> None:
        scan = self.ct("Scan")
        scan.SetAndObserveTransformNodeID(self.bentTransform().GetID())
        self.session.source = scan
        self.offer("transform.nonlinear").take()
        name, copy = self.session.calls[-1]
        self.assertEqual(name, "setSource")
        self.assertIsNot(copy, scan)
        self.assertIsNone(copy.GetParentTransformNode())
        self.assertIsNotNone(scan.GetParentTransformNode())

    def testNothingIsOfferedWhereTheUserHasToDecide(self) -> None:
        self.assertIsNone(self.offer("image.values"))
