"""README's tutorial, step by step, with the bundle that is shipped; its pictures are kept where TUMORSYNTH_SCREENSHOTS tells.

The scan is the MNI152 T1 template of the package nilearn, an average of 152 healthy heads.
"""

import sys
import unittest
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import slicer_worker
import tutorial_pictures
from slicer_case import canRender, needsHarness
from test_panel_module import ModuleCase

from TumorSynthSlicer.annotation import SyntheticAnnotation
from TumorSynthSlicer.marks import isSynthetic

WHITE_MATTER = (-30.0, -8.0, 30.0)
"""A point of the template 11 mm inside the left white matter, RAS mm."""
PANEL_WIDTH = 440
SECTIONS = ("setup", "input", "lesions", "edit", "review", "output", "advanced", "log")


def template() -> Path:
    """The scan. Skips the test where nilearn is not installed."""
    sys.path.append(str(slicer_worker.ROOT / "Testing"))
    import demo

    try:
        return demo.template()
    except SystemExit as error:
        raise unittest.SkipTest(str(error)) from None


@needsHarness
class TutorialTest(ModuleCase):
    """A first tumor, its removal, and a series in which it grows."""

    def setUp(self) -> None:
        super().setUp()
        slicer_worker.checkWorker()
        slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self.scan = slicer.util.loadVolume(str(template()), {"name": "MNI152"})
        slicer.util.setSliceViewerLayers(background=self.scan, fit=True)
        self.before = slicer.util.arrayFromVolume(self.scan).copy()
        self.session = self.open().session
        annotation = SyntheticAnnotation()
        annotation.start()
        self.addCleanup(annotation.stop)

    # ------------------------------------------------------------------ what a user does
    def clickInViews(self, ras: tuple[float, float, float]) -> None:
        """A click in place mode."""
        logic = slicer.app.applicationLogic()
        node = slicer.mrmlScene.GetNodeByID(logic.GetSelectionNode().GetActivePlaceNodeID())
        node.AddControlPointWorld(*ras)
        logic.GetInteractionNode().SwitchToViewTransformMode()
        self.wait(0.1)

    def generate(self) -> None:
        """Press Generate, and wait for the results."""
        self.assertTrue(self.ui.generateButton.enabled, self.ui.generateButton.toolTip)
        self.ui.generateButton.click()
        self.waitUntil(lambda: self.session.state != "running", 240.0)
        self.wait(0.2)
        self.assertEqual(self.errors, [])
        self.assertEqual(self.session.state, "result")

    def keep(self) -> None:
        """Press Keep."""
        self.ui.keepButton.click()
        self.waitUntil(lambda: self.session.state != "running", 60.0)
        self.wait(0.3)
        self.assertEqual(self.errors, [])

    # ------------------------------------------------------------------ what a user sees
    def look(self, name: str, sections: tuple[str, ...], zoom: float = 1.0) -> None:
        """Keep a picture of the panel with some sections open, beside the views."""
        if not tutorial_pictures.wanted() or not canRender():
            return
        for section in SECTIONS:
            getattr(self.ui, f"{section}Section").collapsed = section not in sections
        self.session.review.jumpTo(WHITE_MATTER)
        self.wait(0.3)
        self.widget.parent.resize(PANEL_WIDTH, 10)
        self.wait(0.1)
        self.widget.parent.resize(PANEL_WIDTH, self.widget.parent.sizeHint().height())
        self.wait(0.1)
        panel = tutorial_pictures.ofWidget(self.widget.parent, self.temporaryFolder() / "panel.png")
        tutorial_pictures.save(tutorial_pictures.beside([panel, self.views()]), name)

    def views(self) -> np.ndarray:
        """The views of the layout: two by two, or those before the edit above those after it."""
        manager = slicer.app.layoutManager()
        slices = {
            node.GetLayoutName(): manager.sliceWidget(node.GetLayoutName()).sliceView()
            for node in slicer.util.getNodesByClass("vtkMRMLSliceNode")
            if node.IsMappedInLayout()
        }
        pictures = {name: self.picture(view) for name, view in slices.items()}
        if "Red" not in pictures:
            sides = [[name for name in sorted(pictures) if side in name] for side in ("Before", "After")]
            rows = [[pictures[name] for name in side] for side in sides]
        else:
            space = manager.threeDWidget(0).threeDView()
            space.resetCamera()
            rows = [[pictures["Red"], self.picture(space)], [pictures["Green"], pictures["Yellow"]]]
        return tutorial_pictures.below([tutorial_pictures.beside(row) for row in rows])

    def testTutorial(self) -> None:
        # 1. The scan in the views is taken up. Nothing in the file tells that it is a brain, so the user does.
        self.assertIs(self.session.source, self.scan)
        self.waitUntil(lambda: self.session.questions.candidates, 60.0)
        self.wait(0.2)
        self.assertIn("cannot be told", self.ui.scanLabel.text)
        self.ui.domainBox.setCurrentIndex(self.ui.domainBox.findData("brain-t1"))
        self.ui.domainBox.activated.emit(self.ui.domainBox.currentIndex)
        self.assertEqual(self.session.domain, "brain-t1")

        # 2. A click puts a lesion there; the outline follows its sliders.
        self.ui.addPointButton.click()
        self.clickInViews(WHITE_MATTER)
        self.ui.volumeSlider.value = 12.0
        self.ui.sphericitySlider.value = 0.75
        self.ui.attenuationSlider.value = 40.0
        self.ui.heterogeneitySlider.value = 12.0
        self.ui.massEffectSlider.value = 50.0
        self.ui.seedSpin.value = 3
        self.waitUntil(lambda: self.session.outline.measured.get("shape_VoxelVolume", 0.0) > 0.0, 60.0)
        self.wait(1.0)
        self.assertAlmostEqual(self.session.outline.measured["shape_VoxelVolume"], 12000.0, delta=240.0)
        self.look("tutorial_1_place", ("input", "lesions", "edit"))

        # 3. Two results; the second is kept.
        self.ui.variantsSpin.value = 2
        self.generate()
        self.assertEqual(self.ui.variantTable.rowCount, 2)
        self.ui.variantTable.setCurrentCell(1, 0)
        self.ui.show3DButton.click()
        self.look("tutorial_2_result", ("lesions",))
        self.keep()
        output = self.widget.parameters.outputVolume
        self.assertTrue(isSynthetic(output))
        withTumor = slicer.util.arrayFromVolume(output).copy()
        self.assertGreater(int((withTumor != self.before).sum()), 10000)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(self.scan), self.before)

        # 4. Before and after, side by side, with the tumor in 3D.
        self.ui.sideBySideButton.click()
        self.wait(0.3)
        self.look("tutorial_3_review", ("review", "lesions"))
        self.ui.afterButton.click()

        # 5. The tumor is removed again, and brought back.
        self.ui.removeRadio.click()
        self.wait(0.1)
        self.ui.variantsSpin.value = 1
        self.generate()
        self.look("tutorial_4_removal", ("lesions", "edit"))
        self.keep()
        removed = slicer.util.arrayFromVolume(output)
        self.assertTrue((removed != withTumor).any())
        self.ui.undoButton.click()
        self.wait(0.3)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(output), withTumor)

        # 6. It grows.
        self.ui.growRadio.click()
        self.wait(0.1)
        self.ui.growEdit.text = "4, 12, 30"
        self.ui.growEdit.editingFinished.emit()
        self.generate()
        self.keep()
        browsers = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
        self.assertEqual([browser.GetNumberOfItems() for browser in browsers], [3])
        self.lookAtSeries(browsers[0])

    def lookAtSeries(self, browser: Any) -> None:
        """Keep a picture of the axial view at each time point."""
        if not tutorial_pictures.wanted() or not canRender():
            return
        shown = browser.GetProxyNode(browser.GetMasterSequenceNode())
        slicer.util.setSliceViewerLayers(background=shown)
        pictures = []
        for index in range(browser.GetNumberOfItems()):
            browser.SetSelectedItemNumber(index)
            self.session.review.jumpTo(WHITE_MATTER)
            self.wait(0.2)
            pictures.append(self.picture(slicer.app.layoutManager().sliceWidget("Red").sliceView()))
        tutorial_pictures.save(tutorial_pictures.beside(pictures), "tutorial_5_series")
