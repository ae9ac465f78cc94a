"""The panel's input: scan, organ, region."""

from types import SimpleNamespace

import slicer
from panel_fakes import CT, LUNG, PanelCase

from TumorSynthLib.errors import ImageError
from TumorSynthSlicer.panel.input_section import InputSection


class InputTest(PanelCase):
    """Scan, organ, region."""

    def setUp(self) -> None:
        super().setUp()
        slicer.mrmlScene.Clear()
        self.section = InputSection(self.ui, self.session)
        self.scan = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Scan")

    def testChoosingAScanTellsTheSessionOnce(self) -> None:
        self.section.refresh()
        self.ui.sourceSelector.setCurrentNode(self.scan)
        self.assertEqual(self.session.calls, [("setSource", self.scan)])

    def testTheScanOfTheSessionIsShownWithoutSettingItAgain(self) -> None:
        self.session.source, self.session.scan = self.scan, SimpleNamespace(text="CT, 512 x 512 x 250, 0.8 x 0.8 x 2.5 mm")
        self.section.refresh()
        self.assertIs(self.ui.sourceSelector.currentNode(), self.scan)
        self.assertEqual(self.ui.scanLabel.text, "CT, 512 x 512 x 250, 0.8 x 0.8 x 2.5 mm")
        self.assertEqual(self.session.calls, [])
        self.session.source = self.session.scan = None
        self.section.refresh()
        self.assertIsNone(self.ui.sourceSelector.currentNode())
        self.assertFalse(self.ui.scanLabel.isVisibleTo(self.widget))

    def testLabelMapsAreNotOffered(self) -> None:
        before = self.ui.sourceSelector.nodeCount()
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
        self.assertEqual(self.ui.sourceSelector.nodeCount(), before)

    def testARefusedScanIsTold(self) -> None:
        def refuse(node: object) -> None:
            raise ImageError("image.nan", "The scan has holes.")

        self.session.setSource = refuse
        told = []
        self.session.failed.connect(told.append)
        self.ui.sourceSelector.setCurrentNode(self.scan)
        self.assertEqual([error.code for error in told], ["image.nan"])

    def testTheAutomaticOrganSaysWhatItFound(self) -> None:
        self.session.domains, self.session.domain = [CT, LUNG], "lung-ct"
        self.section.refresh()
        box = self.ui.domainBox
        self.assertEqual([box.itemText(i) for i in range(box.count)], ["Automatic: lung, CT", "abdomen, CT", "lung, CT"])
        self.assertEqual(box.currentIndex, 0)

    def testAnUndecidedOrganAsksForAChoice(self) -> None:
        self.session.source, self.session.scan = self.scan, SimpleNamespace(text="MR")
        self.session.domains = [CT, LUNG]
        self.section.refresh()
        self.assertEqual(self.ui.scanLabel.text, "MR", "nothing was looked for yet")
        self.session.questions.candidates = ["abdomen-ct", "lung-ct"]
        self.section.refresh()
        self.assertIn("Choose it below", self.ui.scanLabel.text)
        self.session.parameters.domain = self.session.domain = "abdomen-ct"
        self.section.refresh()
        self.assertNotIn("Choose it below", self.ui.scanLabel.text)
        self.assertEqual(self.ui.domainBox.currentText, "abdomen, CT")

    def testChoosingAnOrganTellsItsId(self) -> None:
        self.session.domains = [CT, LUNG]
        self.section.refresh()
        self.ui.domainBox.setCurrentIndex(2)
        self.assertEqual(self.session.calls, [], "only the user chooses")
        self.ui.domainBox.activated.emit(2)
        self.assertEqual(self.session.calls, [("setDomain", "lung-ct")])

    def testTheRegionIsChosenByItsSegment(self) -> None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Organs")
        liver = node.GetSegmentation().AddEmptySegment("liver", "Liver")
        kidney = node.GetSegmentation().AddEmptySegment("kidney", "Kidney")
        self.ui.regionSelector.setCurrentNode(node)
        self.ui.regionSelector.setCurrentSegmentID(kidney)
        self.assertEqual(self.session.calls[-1], ("setRegion", node, kidney))
        self.session.calls.clear()
        self.session.parameters.region, self.session.parameters.regionSegmentId = node, liver
        self.section.refresh()
        self.assertEqual(self.ui.regionSelector.currentSegmentID(), liver)
        self.assertEqual(self.session.calls, [])

    def testARegionThatIsRemovedGivesNoOther(self) -> None:
        nodes = [slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name) for name in ("Organs", "Bones")]
        for node in nodes:
            node.GetSegmentation().AddEmptySegment("first", "First")
            node.GetSegmentation().AddEmptySegment("second", "Second")
        self.session.parameters.region, self.session.parameters.regionSegmentId = nodes[1], "second"
        self.section.refresh()
        nodes[1].GetSegmentation().RemoveSegment("second")
        self.assertEqual(self.session.calls[-1], ("setRegion", nodes[1], ""), "Slicer's own choice would be the first segment")
        self.session.parameters.regionSegmentId = ""
        self.section.refresh()
        self.assertEqual(self.ui.regionSelector.currentSegmentID(), "")
        slicer.mrmlScene.RemoveNode(nodes[1])
        self.assertIsNone(self.ui.regionSelector.currentNode(), "Slicer's own choice would be the other segmentation")
        self.assertIsNone(self.session.calls[-1][1])

    def testNothingCanBeChangedWhileItRuns(self) -> None:
        self.session.state = "running"
        self.section.refresh()
        for widget in (self.ui.sourceSelector, self.ui.domainBox, self.ui.regionSelector):
            self.assertFalse(widget.enabled)
        self.session.state = "ready"
        self.section.refresh()
        self.assertTrue(self.ui.sourceSelector.enabled)
