"""The panel's output: exports, log and advanced settings."""

import slicer
from panel_fakes import PanelCase

from TumorSynthSlicer.panel.advanced_section import AdvancedSection
from TumorSynthSlicer.panel.log_section import LogSection
from TumorSynthSlicer.panel.output_section import OutputSection


class OutputTest(PanelCase):
    """Exports."""

    def setUp(self) -> None:
        super().setUp()
        self.folder, self.titles, self.files = "", [], []
        self.section = OutputSection(self.ui, self.session, self.choose, lambda volume: self.files)

    def choose(self, title: str) -> str:
        """Stands in for the file dialog."""
        self.titles.append(title)
        return self.folder

    def testAnExportAsksForAFolder(self) -> None:
        self.section.refresh()
        self.ui.exportDicomButton.click()
        self.assertEqual(self.session.calls, [])
        self.folder = "/somewhere"
        self.ui.exportDicomButton.click()
        self.ui.exportFilesButton.click()
        self.assertEqual(self.session.calls, [("exportDicom", "/somewhere"), ("exportFiles", "/somewhere")])
        self.assertEqual(len(self.titles), 3)

    def testWithoutAResultTheButtonsSayWhy(self) -> None:
        self.session.refused = {"exportDicom": "Keep a result first.", "exportFiles": "Keep a result first."}
        self.section.refresh()
        for button in (self.ui.exportDicomButton, self.ui.exportFilesButton):
            self.assertFalse(button.enabled)
            self.assertIn("Keep a result first.", button.toolTip)

    def testTheFolderIsAskedForWithWhatBecomesOfTheHeaders(self) -> None:
        self.section.refresh()
        self.ui.exportDicomButton.click()
        self.files = ["slice1.dcm"]
        self.ui.exportDicomButton.click()
        self.assertIn("new headers", self.titles[0])
        self.assertIn("with the headers of the scan", self.titles[1])

    def testAnOutputThatIsRemovedGivesNoOther(self) -> None:
        nodes = []
        for name in ("First", "Second"):
            node = slicer.vtkMRMLScalarVolumeNode()
            node.SetName(name)
            node.SetAttribute("TumorSynth.Synthetic", "1")
            nodes.append(slicer.mrmlScene.AddNode(node))
        selector = self.ui.outputVolumeSelector
        selector.setCurrentNode(nodes[1])
        self.assertIs(selector.currentNode(), nodes[1])
        slicer.mrmlScene.RemoveNode(nodes[1])
        self.assertIsNone(selector.currentNode())

    def testItIsToldWhatTheLastExportWrote(self) -> None:
        self.section.refresh()
        self.assertFalse(self.ui.exportLabel.isVisibleTo(self.widget))
        self.session.dicomNote = "The headers of the scan are there."
        self.section.refresh()
        self.assertEqual(self.ui.exportLabel.text, "The headers of the scan are there.")
        self.assertTrue(self.ui.exportLabel.isVisibleTo(self.widget))
        self.session.exported.emit("/somewhere")
        self.assertEqual(self.ui.exportLabel.text, "Written to /somewhere.\nThe headers of the scan are there.")


class LogTest(PanelCase):
    """Log and advanced settings."""

    def testTheLogIsBoundedAndCopied(self) -> None:
        section = LogSection(self.ui, self.session.service)
        for number in range(3000):
            self.session.service.logged.emit(f"line {number}\n")
        lines = self.ui.logText.plainText.split("\n")
        self.assertLessEqual(len(lines), 2000)
        self.assertEqual(lines[-1], "line 2999")
        self.ui.copyLogButton.click()
        copied = slicer.app.clipboard().text()
        self.assertIn("line 2999", copied)
        self.assertIn("3D Slicer", copied)
        self.ui.clearLogButton.click()
        self.assertEqual(self.ui.logText.plainText, "")
        section.cleanup()
        self.session.service.logged.emit("late")
        self.assertEqual(self.ui.logText.plainText, "")

    def testShowingTheLogOpensIt(self) -> None:
        section = LogSection(self.ui, self.session.service)
        self.ui.logSection.collapsed = True
        section.show()
        self.assertFalse(self.ui.logSection.collapsed)

    def testTheMethodIsKeptByItsId(self) -> None:
        section = AdvancedSection(self.ui, self.session)
        section.refresh()
        self.assertEqual(self.ui.methodBox.itemData(self.ui.methodBox.currentIndex), "bridge")
        self.session.parameters.method = "flow"
        section.refresh()
        self.assertEqual(self.ui.methodBox.itemData(self.ui.methodBox.currentIndex), "flow")
        self.ui.methodBox.activated.emit(0)
        self.assertEqual(self.session.calls, [("setMethod", "bridge")])
        self.session.parameters.method = "of tomorrow"
        section.refresh()
        self.assertEqual(self.ui.methodBox.currentText, "of tomorrow")
