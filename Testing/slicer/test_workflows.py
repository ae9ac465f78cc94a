"""What a radiologist comes for, each with a real worker and in at most four actions after a scan was loaded."""

import time
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import qt
import slicer
from module_case import WorkingCase

from TumorSynthSlicer.grids import geometryOf
from TumorSynthSlicer.marks import isSynthetic
from TumorSynthSlicer.outline import NAME
from TumorSynthSlicer.paths import part
from TumorSynthSlicer.segment_masks import segmentMask

MOST_ACTIONS = 4


class Hand:
    """A user's hand, which can only use what is enabled and seen; presses, clicks, strokes and pulls are counted."""

    def __init__(self, case: WorkingCase) -> None:
        self._case, self._ui = case, case.ui
        self.actions: list[str] = []

    def press(self, button: Any) -> None:
        """Press a button or a radio button."""
        self._on(button)
        button.click()
        self._done(button.text)

    def click(self, where: str) -> None:
        """Click into a view, at a place of the phantom."""
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        self._case.assertEqual(interaction.GetCurrentInteractionMode(), interaction.Place, "No click is waited for.")
        selection = slicer.app.applicationLogic().GetSelectionNode()
        node = slicer.mrmlScene.GetNodeByID(selection.GetActivePlaceNodeID())
        node.AddControlPointWorld(*map(float, self._case.position(self._case.scan, where)))
        if not interaction.GetPlaceModePersistence():
            interaction.SwitchToViewTransformMode()
        self._done(f"click at {where}")

    def stroke(self) -> None:
        """Paint a ball with the brush of the segment editor that is open."""
        editor, scan = self._ui.segmentEditor, self._case.scan
        self._case.assertEqual(editor.mrmlSegmentEditorNode().GetActiveEffectName(), "Paint")
        array = slicer.util.arrayFromVolume(scan)
        grid = np.stack(np.meshgrid(*(np.arange(n) for n in array.shape), indexing="ij"), axis=-1)
        middle = np.array(array.shape) / 2.0 - (0.0, 15.0, 0.0)
        mask = (((grid - middle) * scan.GetSpacing()[::-1]) ** 2).sum(axis=-1) < 8.0**2
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            mask.astype(np.uint8), editor.segmentationNode(), editor.currentSegmentID(), scan
        )
        self._case.wait(0.3)
        self._done("stroke")

    def pull(self, slider: Any, value: float) -> None:
        """Pull a slider."""
        self._on(slider)
        slider.value = value
        self._done(slider.objectName)

    def choose(self, box: Any, value: str) -> None:
        """Choose from a combo box."""
        self._on(box)
        index = box.findData(value)
        self._case.assertTrue(box.model().flags(box.model().index(index, 0)) & qt.Qt.ItemIsEnabled, f"{value} is gray")
        box.setCurrentIndex(index)
        box.activated.emit(index)
        self._done(value)

    def _on(self, widget: Any) -> None:
        self._case.assertTrue(widget.enabled, widget.toolTip)
        self._case.assertTrue(widget.isVisibleTo(self._case.widget.parent), f"{widget.objectName} is hidden")

    def _done(self, what: str) -> None:
        self.actions.append(what)
        case = self._case
        case.wait(0.1)
        case.made()
        case.waitUntil(self._isMeasured)
        case.wait(0.1)

    def _isMeasured(self) -> bool:
        lesion = self._case.session.selectedLesion
        return lesion is None or lesion.place != "segment" or bool(lesion.measured) or lesion.state == "kept"


class WorkflowTest(WorkingCase):
    """From a loaded scan to a result, counting."""

    def setUp(self) -> None:
        super().setUp()
        self.waitUntil(lambda: self.widget.logic.service.state == "ready", 60.0)
        self.wait(0.1)
        self.hand = Hand(self)

    def tearDown(self) -> None:
        self.assertEqual(self.errors, [])
        self.assertLessEqual(len(self.hand.actions), MOST_ACTIONS, self.hand.actions)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(self.scan), self.before)
        super().tearDown()

    def changed(self) -> np.ndarray:
        """Which voxels [k, j, i] are other than in the scan."""
        self.assertEqual(self.session.state, "result")
        self.assertTrue(isSynthetic(self.own.outputVolume))
        return self.output() != self.before

    def inside(self, segmentation: Any, segmentId: str) -> np.ndarray:
        """The voxels [k, j, i] of a segment."""
        found = segmentMask(segmentation, segmentId, self.scan)
        mask = np.zeros(self.before.shape, bool)
        mask.transpose(2, 1, 0)[found.box.slices] = found.mask
        return mask

    def resultMask(self, number: int = 0) -> np.ndarray:
        """The voxels [k, j, i] of a tumor of the result."""
        output = self.own.outputSegmentation
        return self.inside(output, output.GetSegmentation().GetNthSegmentID(number))

    def outlineBounds(self) -> np.ndarray:
        """Of the outline; zeros while it is not seen."""
        bounds = np.zeros(6)
        for node in slicer.util.getNodesByClass("vtkMRMLModelNode"):
            if node.GetName() == NAME and node.GetDisplayNode().GetVisibility():
                node.GetRASBounds(bounds)
        return bounds

    def texts(self, table: Any) -> list[list[str]]:
        """What a table shows."""
        return [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]

    def testInsertOne(self) -> None:
        ui, hand = self.ui, self.hand
        hand.press(ui.addPointButton)
        hand.click("tissue")
        hand.press(ui.generateButton)
        self.assertTrue(self.changed()[self.resultMask()].any())
        self.assertFalse(ui.addPointButton.checked)

    def testInsertIntoABoxWithTheFormThatTheMethodMakes(self) -> None:
        ui, hand = self.ui, self.hand
        hand.press(ui.addBoxButton)
        hand.press(ui.advancedSection)
        hand.choose(ui.methodBox, "flow")
        self.assertIn("only a box is known", ui.methodHelpLabel.text)
        self.assertIn("comes with the result", ui.volumeRange.text)
        box = slicer.util.getNodesByClass("vtkMRMLMarkupsROINode")[0]
        bounds = np.zeros(6)
        box.GetRASBounds(bounds)
        self.waitUntil(lambda: np.allclose(self.outlineBounds(), bounds, atol=3.0))
        hand.press(ui.generateButton)
        mask = self.resultMask()
        self.assertTrue(self.changed()[mask].any())
        ras = geometryOf(self.scan).to_ras(np.argwhere(mask)[:, ::-1])
        self.assertTrue(np.all((ras >= bounds[::2]) & (ras <= bounds[1::2])))
        rows = {row[0]: row[1:3] for row in self.texts(ui.comparisonTable)}
        measured = mask.sum() * np.prod(self.scan.GetSpacing()) / 1000.0
        requested, told = rows["Volume"]
        self.assertEqual(requested, "free")
        self.assertAlmostEqual(float(told.split()[0]), measured, delta=0.01 * measured)

    def testInsertAtAPointWithTheFormThatTheMethodMakes(self) -> None:
        self.session.setMethod("flow")
        ui, hand = self.ui, self.hand
        hand.press(ui.addPointButton)
        hand.click("tissue")
        self.assertIn("needs a volume", ui.generateButton.toolTip)
        hand.pull(ui.volumeSlider, 3.0)
        hand.press(ui.generateButton)
        rows = {row[0]: row[1:3] for row in self.texts(ui.comparisonTable)}
        self.assertEqual(rows["Volume"][0], "3 mL")
        made = self.resultMask().sum() * np.prod(self.scan.GetSpacing()) / 1000.0
        self.assertAlmostEqual(made, 3.0, delta=0.06)

    def testInsertSeveral(self) -> None:
        ui, hand = self.ui, self.hand
        hand.press(ui.addPointButton)
        hand.click("left lung")
        hand.click("right lung")
        hand.press(ui.generateAllButton)
        self.assertEqual([lesion.state for lesion in self.session.lesions.all()], ["result"] * 2)
        for number in (0, 1):
            self.assertTrue(self.changed()[self.resultMask(number)].any())
        self.assertFalse((self.resultMask(0) & self.resultMask(1)).any())

    def testInsertWhatWasPainted(self) -> None:
        ui, hand = self.ui, self.hand
        hand.press(ui.paintButton)
        hand.stroke()
        hand.press(ui.generateButton)
        self.assertFalse(ui.paintButton.checked)
        painted = self.session.selectedLesion
        mask = self.inside(self.session.places.node(painted.key), painted.segmentId)
        np.testing.assert_array_equal(self.resultMask(), mask)

    def testRemoveWhatIsPaintedHere(self) -> None:
        ui, hand = self.ui, self.hand
        hand.press(ui.paintButton)
        hand.stroke()
        hand.press(ui.removeRadio)
        hand.press(ui.generateButton)
        lesion = self.session.selectedLesion
        mask = self.inside(self.session.places.node(lesion.key), lesion.segmentId)
        self.assertTrue(self.changed()[mask].any())
        self.assertEqual(self.own.outputSegmentation.GetSegmentation().GetNumberOfSegments(), 0)

    def testRemoveASegmentAndKeepThat(self) -> None:
        segmentation, segment = self.ball(self.scan)
        mask, ui, hand = self.inside(segmentation, segment), self.ui, self.hand
        hand.press(ui.addSegmentButton)
        hand.press(ui.removeRadio)
        hand.press(ui.generateButton)
        self.assertTrue(self.changed()[mask].any())
        hand.press(ui.keepButton)
        self.assertEqual(self.session.selectedLesion.state, "kept")

    def testRemoveTheSegmentUnderTheCursor(self) -> None:
        organ, _ = self.ball(self.scan, center=self.position(self.scan, "left lung"), name="Lung")
        segmentation, segment = self.ball(self.scan, name="Nodule", segmentation=organ)
        mask, ui, hand = self.inside(segmentation, segment), self.ui, self.hand
        hand.press(ui.underCursorButton)
        hand.click("tissue")
        hand.press(ui.removeRadio)
        hand.press(ui.generateButton)
        self.assertTrue(self.changed()[mask].any())

    def testChangeASegmentFromItsMeasuredValues(self) -> None:
        segmentation, segment = self.ball(self.scan)
        mask, ui, hand = self.inside(segmentation, segment), self.ui, self.hand
        hand.press(ui.addSegmentButton)
        milliliters = mask.sum() * np.prod(self.scan.GetSpacing()) / 1000.0
        self.assertAlmostEqual(ui.volumeSlider.value, milliliters, delta=0.01)
        self.assertAlmostEqual(ui.attenuationSlider.value, self.before[mask].mean(), delta=1.0)
        self.assertFalse(ui.volumeCheck.checked)
        hand.pull(ui.volumeSlider, 2.0 * milliliters)
        hand.press(ui.generateButton)
        made = self.resultMask().sum() * np.prod(self.scan.GetSpacing()) / 1000.0
        self.assertAlmostEqual(made, 2.0 * milliliters, delta=0.1 * milliliters)
        self.assertTrue(self.changed().any())

    def testMoveASegment(self) -> None:
        segmentation, segment = self.ball(self.scan, radius=7.0)
        mask, ui, hand = self.inside(segmentation, segment), self.ui, self.hand
        hand.press(ui.addSegmentButton)
        hand.press(ui.moveRadio)
        hand.click("bone")
        hand.press(ui.generateButton)
        shift = np.argwhere(self.resultMask()).mean(axis=0) - np.argwhere(mask).mean(axis=0)
        asked = np.array([0.0, 58.0, 0.0]) / self.scan.GetSpacing()[::-1]
        np.testing.assert_allclose(shift, asked, atol=1.0)
        self.assertTrue(self.changed()[mask].any())

    def testGrowIntoASequence(self) -> None:
        self.ball(self.scan, radius=7.0)
        ui, hand = self.ui, self.hand
        hand.press(ui.addSegmentButton)
        hand.press(ui.growRadio)
        hand.press(ui.generateButton)
        self.assertEqual(len(self.session.variants), 3)
        hand.press(ui.keepButton)
        (browser,) = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
        self.assertEqual(browser.GetNumberOfItems(), 3)
        sizes = [float(browser.GetMasterSequenceNode().GetNthIndexValue(number).split()[1]) for number in range(3)]
        measured = self.session.lesions.all()[0].volumesMl
        np.testing.assert_allclose(sizes, measured, rtol=0.1)


SILENT = ("QLabel", "QProgressBar", "ctkCollapsibleButton", "ctkCollapsibleGroupBox", "qMRMLSegmentEditorWidget")
"""Kinds of widgets that nobody uses by themselves."""


class ControlsTest(WorkingCase):
    """All that is in the panel, from the scan to the kept result."""

    def tips(self) -> dict[str, str]:
        """Tooltips of the .ui file by the widget's name."""
        root = ElementTree.parse(part("Resources/UI/TumorSynth.ui")).getroot()
        widgets = [widget for widget in root.iter("widget") if widget.get("class") not in SILENT]
        found = {widget.get("name"): widget.find("property[@name='toolTip']/string") for widget in widgets}
        return {name: str(tip.text) for name, tip in found.items() if tip is not None}

    def assertNobodyIsSilent(self, state: str) -> None:
        def silent() -> list[str]:
            off = [name for name in self.tips() if not getattr(self.ui, name).enabled]
            seen = [name for name in off if getattr(self.ui, name).isVisibleTo(self.widget.parent)]
            return [name for name in seen if getattr(self.ui, name).toolTip == self.tips()[name]]

        self.wait(0.1)
        end = time.monotonic() + 10.0  # the panel follows when the event loop has time
        while silent() and time.monotonic() < end:
            self.wait(0.1)
        self.assertEqual(silent(), [], f"They do not say why they cannot be used: {state}.")

    def testWhatCannotBeUsedSaysWhy(self) -> None:
        self.ui.sourceSelector.setCurrentNode(None)
        self.assertNobodyIsSilent("no scan")
        self.ui.sourceSelector.setCurrentNode(self.scan)
        self.assertNobodyIsSilent("no lesion")
        key = self.place()
        self.assertNobodyIsSilent("a draft")
        self.session.setMethod("flow")
        self.assertNobodyIsSilent("a draft with flow")
        self.session.setMethod("bridge")
        self.session.generate([key])
        self.assertNobodyIsSilent("it is generated")
        self.made()
        self.assertNobodyIsSilent("a result")
        self.session.keep()
        self.assertNobodyIsSilent("a kept result")
        segmentation, segment = self.ball(self.scan)
        key = self.session.addSegment(segmentation, segment, "remove")
        self.ui.stepsSpin.value = 500
        for operation in ("remove", "move", "grow", "edit"):
            self.session.update(key, operation=operation, volumesMl=[2.0])
            self.assertNobodyIsSilent(operation)
            self.session.setTarget(key, tuple(self.position(self.scan, "left lung")))
            self.session.generate([key])
            self.assertNobodyIsSilent(f"{operation} goes on")
            self.session.cancel()
            self.waitUntil(lambda: self.session.state == "ready")

    def testTheDomainIsFoundAndTheModelsLicenceIsShown(self) -> None:
        self.session.setDomain("auto")
        self.waitUntil(lambda: self.session.domain, 60.0)
        self.waitUntil(lambda: "Licence" in self.ui.licenceLabel.text)
        self.assertEqual(self.ui.domainBox.currentText, "Automatic: soft tissue, CT")
        self.assertIn("CT", self.ui.scanLabel.text)

    def testTheOutlineFollowsTheSliderBeforeAnyTexture(self) -> None:
        self.place(shape={})
        self.waitUntil(lambda: self.session.outline.measured, 60.0)
        for milliliters in (1.0, 5.0):
            self.ui.volumeSlider.value = milliliters
            self.waitUntil(lambda wanted=milliliters: abs(self.outlined() - wanted) < 0.1 * wanted)
            (model,) = [node for node in slicer.util.getNodesByClass("vtkMRMLModelNode") if node.GetName() == NAME]
            self.assertTrue(model.GetDisplayNode().GetVisibility2D())
            bounds = np.zeros(6)
            model.GetRASBounds(bounds)
            np.testing.assert_allclose((bounds[::2] + bounds[1::2]) / 2, self.position(self.scan), atol=3.0)
        self.assertIsNone(self.own.outputVolume)

    def outlined(self) -> float:
        """The volume of the outline in mL."""
        return self.session.outline.measured.get("shape_VoxelVolume", 0.0) / 1000.0

    def testWhatIsPaintedOverIsMeasuredOnceMore(self) -> None:
        segmentation, segment = self.ball(self.scan, radius=6.0)
        key = self.session.addSegment(segmentation, segment, "edit")
        self.waitUntil(lambda: self.session.lesions.get(key).measured, 60.0)
        before = self.ui.volumeSlider.value
        array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, self.scan)
        array[array.shape[0] // 2 :] = 0
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentation, segment, self.scan)
        self.waitUntil(lambda: self.ui.volumeSlider.value < 0.8 * before)
        self.assertEqual(self.errors, [])
