"""The panel's review: its buttons, and that they always tell what the views show."""

from types import SimpleNamespace

import slicer
from panel_fakes import PanelCase

from TumorSynthSlicer import views
from TumorSynthSlicer.panel.review_section import ReviewSection
from TumorSynthSlicer.review import MODES, Review


class ReviewSectionTest(PanelCase):
    """The section over the real comparison."""

    def setUp(self) -> None:
        super().setUp()
        slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self.source = self.session.source = self.ct()
        self.output = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, self.source, "CT [SYNTHETIC]")
        self.segmentation, _ = self.ball(self.output)
        slicer.util.setSliceViewerLayers(background=self.source)
        self.session.review = Review()
        self.session.review.setVolumes(self.source, self.output, ((20, 20, 20), (25, 25, 25)), self.segmentation)
        self.addCleanup(self.session.review.close)
        self.section = ReviewSection(self.ui, self.session)
        self.failures = []
        self.session.failed.connect(self.failures.append)
        self.section.refresh()

    def pressed(self):
        """Modes whose buttons are down."""
        return [mode for mode in MODES if getattr(self.ui, f"{mode}Button").checked]

    def test_each_button_shows_its_comparison_and_stays_down_alone(self):
        self.assertEqual(self.pressed(), [])
        for mode in MODES:
            getattr(self.ui, f"{mode}Button").click()
            self.assertEqual(self.session.review.mode, mode)
            self.assertEqual(self.pressed(), [mode])
        self.assertEqual(self.failures, [])

    def test_the_buttons_follow_a_comparison_that_ends_elsewhere(self):
        self.ui.sideBySideButton.click()
        slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
        self.waitUntil(lambda: self.pressed() == ["after"])
        self.session.review.stop()
        self.assertEqual(self.pressed(), [])

    def test_without_a_result_the_buttons_say_why_they_are_off(self):
        self.session.refused = {"compare": "Generate a result first."}
        self.section.refresh()
        for button in [getattr(self.ui, f"{mode}Button") for mode in MODES] + [self.ui.show3DButton]:
            self.assertFalse(button.enabled)
            self.assertIn("Generate a result first.", button.toolTip)

    def test_a_new_result_is_seen_though_the_scan_before_was_looked_at(self):
        self.ui.beforeButton.click()
        self.session.state = "running"
        self.section.refresh()
        self.session.state = "result"
        self.section.refresh()
        self.assertEqual(self.session.review.mode, "after")
        self.ui.beforeButton.click()
        self.section.refresh()
        self.assertEqual(self.session.review.mode, "before")

    def test_the_tumor_in_3D(self):
        self.ui.show3DButton.click()
        self.assertTrue(self.segmentation.GetSegmentation().ContainsRepresentation("Closed surface"))
        self.assertTrue(self.ui.show3DButton.checked)
        self.session.review.stop()
        self.section.refresh()
        self.assertFalse(self.ui.show3DButton.checked)

    def test_going_to_the_lesion(self):
        self.assertFalse(self.ui.jumpButton.enabled)
        lesion = self.session.lesions.add("point")
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
        node.AddControlPointWorld(14.0, -18.0, 36.0)
        self.session.places = SimpleNamespace(node={lesion.key: node}.get)
        self.section.refresh()
        self.ui.jumpButton.click()
        axial = next(view for view in views.sliceNodes() if view.GetLayoutName() == "Red")
        self.assertAlmostEqual(axial.GetSliceToRAS().GetElement(2, 3), 36.0, places=3)
        node.RemoveAllControlPoints()
        self.ui.jumpButton.click()
        self.assertIn("Nothing tells where", str(self.failures[0]))

    def test_leaving_the_panel_ends_what_moves_and_cleaning_up_ends_all(self):
        self.ui.blinkButton.click()
        self.section.leave()
        self.assertEqual(self.pressed(), ["after"])
        self.section.cleanup()
        self.assertEqual({node.GetBackgroundVolumeID() for node in views.compositeNodes()}, {self.source.GetID()})

    def test_a_session_without_views_has_nothing_to_press(self):
        self.session.review = None
        section = ReviewSection(self.ui, self.session)
        section.refresh()
        section.leave()
        section.cleanup()
