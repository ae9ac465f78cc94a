"""The panel's setup: packages, the worker's device and command, model and licence."""

from types import SimpleNamespace
from typing import Any

from panel_fakes import PanelCase

from TumorSynthLib.errors import TumorSynthError
from TumorSynthSlicer import commands
from TumorSynthSlicer.dependency_check import Check
from TumorSynthSlicer.panel.setup_section import SetupSection

BASE = {"id": "base", "version": "0.1.1", "licence": "CC BY-NC-SA 4.0", "intended_use": "Research.", "domains": []}


class FakePackages:
    """Packages that are missing until they are installed."""

    def __init__(self, *lacking: str) -> None:
        self.lacking = list(lacking)
        self.error: TumorSynthError | None = None

    def missing(self) -> list[str]:
        """What is missing."""
        return self.lacking

    def state(self) -> str:
        """In words."""
        return f"Missing: {', '.join(self.lacking)}." if self.lacking else "All there."

    def plan(self) -> str:
        """What would be done."""
        return f"{', '.join(self.lacking)} (up to 3 GB)."

    def install(self) -> None:
        """Do it."""
        if self.error is not None:
            raise self.error
        self.lacking = []


class SetupTest(PanelCase):
    """Install, test, start and stop."""

    def setUp(self) -> None:
        super().setUp()
        self.service = self.session.service
        self.before = commands.load()
        commands.save(commands.WorkerChoice())
        self.addCleanup(commands.save, self.before)
        self.checks: list[tuple[Any, Any]] = []
        self.questions: list[str] = []
        self.confirmed = True
        self.changes = 0

    def section(self, *lacking: str) -> SetupSection:
        """The section where some packages are missing."""
        self.packages = FakePackages(*lacking)
        section = SetupSection(self.ui, self.session, self.service, self.onChanged, self.packages, self.check, self.confirm)
        section.refresh()
        self.kept = section  # the widgets do not
        return section

    def onChanged(self) -> None:
        """Count."""
        self.changes += 1

    def confirm(self, question: str) -> bool:
        """Stands in for the dialog."""
        self.questions.append(question)
        return self.confirmed

    def check(self, choice: Any, onDone: Any) -> Any:
        """Stands in for the test in a child."""
        self.checks.append((choice, onDone))
        return SimpleNamespace(stop=lambda: self.checks.append(("stopped", None)))

    def testItIsFoldedWhereNothingIsMissing(self) -> None:
        section = self.section()
        self.assertTrue(self.ui.setupSection.collapsed)
        self.assertEqual(self.ui.dependenciesLabel.text, "All there.")
        self.assertFalse(self.ui.installButton.enabled)
        self.assertIn("installed", self.ui.installButton.toolTip)
        self.assertEqual((section.hindrance, section.primary), ("", None))

    def testWhatIsMissingIsToldAndHinders(self) -> None:
        section = self.section("torch", "monai")
        self.assertFalse(self.ui.setupSection.collapsed)
        self.assertEqual(self.ui.dependenciesLabel.text, "Missing: torch, monai.")
        self.assertIn("up to 3 GB", self.ui.installButton.toolTip)
        self.assertIn("Install", section.hindrance)
        self.assertIs(section.primary, self.ui.installButton)
        self.assertFalse(self.ui.startButton.enabled)
        self.assertIn("Install", self.ui.startButton.toolTip)

    def testInstallingAsksFirstWithTheSize(self) -> None:
        section = self.section("torch")
        self.confirmed = False
        self.ui.installButton.click()
        self.assertIn("up to 3 GB", self.questions[-1])
        self.assertEqual((self.packages.lacking, self.checks), (["torch"], []))
        self.confirmed = True
        self.ui.installButton.click()
        self.assertEqual(self.packages.lacking, [])
        self.assertEqual(self.ui.dependenciesLabel.text, "Testing...")
        self.assertFalse(self.ui.verifyButton.enabled)
        self.checks[-1][1](Check("", python="3.12.10", devices=("cpu", "cuda:0 Some GPU")))
        section.refresh()
        self.assertEqual(self.ui.dependenciesLabel.text, "It works: Python 3.12.10, cpu, cuda:0 Some GPU.")
        self.assertTrue(self.ui.verifyButton.enabled)
        self.assertTrue(self.ui.setupSection.collapsed)
        self.assertEqual(section.hindrance, "")

    def testAFailedInstallationIsTold(self) -> None:
        self.section("torch")
        told: list[TumorSynthError] = []
        self.session.failed.connect(told.append)
        self.packages.error = TumorSynthError("dependencies.install", "No network.")
        self.confirmed = True
        self.ui.installButton.click()
        self.assertEqual([error.message for error in told], ["No network."])
        self.assertEqual(self.checks, [])

    def testAFailedTestOpensTheSection(self) -> None:
        section = self.section()
        self.ui.verifyButton.click()
        self.checks[-1][1](Check("No module named monai", "Install it.", log="Traceback"))
        section.refresh()
        self.assertIn("No module named monai", self.ui.dependenciesLabel.text)
        self.assertIn("Install it.", self.ui.dependenciesLabel.text)
        self.assertFalse(self.ui.setupSection.collapsed)

    def testATestThatRunsEndsWithThePanel(self) -> None:
        section = self.section()
        self.ui.verifyButton.click()
        section.cleanup()
        self.assertEqual(self.checks[-1], ("stopped", None))

    def testDevicesThatWereFoundAreOffered(self) -> None:
        self.section()
        box = self.ui.deviceBox
        self.assertEqual([box.itemData(i) for i in range(2)], ["auto", "cpu"])
        self.ui.verifyButton.click()
        self.checks[-1][1](Check("", python="3.12", devices=("cpu", "cuda:0 Some GPU", "cuda:1 Other GPU")))
        self.assertEqual([box.itemData(i) for i in range(box.count)], ["auto", "cpu", "cuda:0", "cuda:1"])
        self.assertEqual(box.itemText(2), "GPU 0, Some GPU")

    def testAnotherDeviceIsKeptAndReplacesTheWorker(self) -> None:
        section = self.section()
        self.service.state = "ready"
        self.ui.deviceBox.setCurrentIndex(self.ui.deviceBox.findData("cpu"))
        self.ui.deviceBox.activated.emit(1)
        self.assertEqual(commands.load().device, "cpu")
        self.assertEqual(section.worker.choice.device, "cpu")
        self.assertIn("restart", self.service.calls)

    def testABusyWorkerIsNotEndedByAChoice(self) -> None:
        self.section()
        self.service.state = "busy"
        self.ui.inlineCheck.click()
        self.assertTrue(commands.load().inline)
        self.assertEqual(self.service.calls, [])

    def testAnotherPythonNeedsNoPackagesHere(self) -> None:
        section = self.section("torch")
        self.ui.commandEdit.text = "ssh gpu-host python"
        self.ui.commandEdit.editingFinished.emit()
        section.refresh()
        self.assertEqual(commands.load().command, "ssh gpu-host python")
        self.assertEqual(section.hindrance, "")
        self.assertIn("Another Python", self.ui.dependenciesLabel.text)
        self.assertFalse(self.ui.installButton.enabled)

    def testACommandThatCannotBeReadIsRefused(self) -> None:
        section = self.section()
        told: list[TumorSynthError] = []
        self.session.failed.connect(told.append)
        self.ui.commandEdit.text = 'python "half'
        self.ui.commandEdit.editingFinished.emit()
        self.assertEqual([error.code for error in told], ["worker.command"])
        self.assertEqual(section.worker.choice.command, "")

    def testStartAndStop(self) -> None:
        section = self.section()
        self.assertFalse(self.ui.stopButton.enabled)
        self.ui.startButton.click()
        section.refresh()
        self.assertEqual(self.ui.workerLabel.text, "ready on CPU")
        self.assertFalse(self.ui.startButton.enabled)
        self.assertIn("runs already", self.ui.startButton.toolTip)
        self.ui.stopButton.click()
        section.refresh()
        self.assertIn("stopped", self.ui.workerLabel.text)
        self.assertTrue(self.ui.startButton.enabled)
        self.assertNotIn("runs already", self.ui.startButton.toolTip)

    def testWhyTheWorkerHasEndedIsTold(self) -> None:
        section = self.section()
        self.service.state, self.service.error = "failed", TumorSynthError("worker.died", "It ended.", "See the log.")
        section.refresh()
        self.assertEqual(self.ui.workerLabel.text, "It ended. See the log.")
        self.assertFalse(self.ui.setupSection.collapsed)

    def testALicenceForNonCommercialUseIsSaidPlainly(self) -> None:
        section = self.section()
        self.ui.startButton.click()
        section.refresh()
        section.refresh()
        asked = [call for call in self.service.calls if call[0] == "ask"]
        self.assertEqual([call[1]["op"] for call in asked], ["bundles"])
        asked[0][2]({"bundles": [BASE, {**BASE, "id": "open", "licence": "CC BY 4.0"}]})
        section.refresh()
        self.assertEqual(self.ui.bundleBox.currentText, "base 0.1.1")
        self.assertIn("CC BY-NC-SA 4.0", self.ui.licenceLabel.text)
        self.assertIn("Non-commercial use only", self.ui.licenceLabel.text)
        self.ui.bundleBox.setCurrentIndex(1)
        self.ui.bundleBox.activated.emit(1)
        self.assertEqual(commands.load().bundle, "open")
