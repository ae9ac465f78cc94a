"""Comparing before and after: what the views show, that they are left as they were, and where pictures differ."""

import numpy as np
import slicer
from slicer_case import SlicerCase, needsRendering
from slicer_phantoms import ballMask

from TumorSynthLib.errors import RequestError
from TumorSynthSlicer import views
from TumorSynthSlicer.difference import Difference, changedBox
from TumorSynthSlicer.review import Review
from TumorSynthSlicer.side_by_side import LAYOUT, tagOf
from TumorSynthSlicer.tasks import finished

BRIGHTER, DARKER = 90, -60


class ReviewCase(SlicerCase):
    """A scan, and a copy of it with a brighter ball that has a darker rim."""

    def setUp(self) -> None:
        super().setUp()
        self.source = self.ct(oblique=True, leftHanded=True)
        self.output = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, self.source, "CT [SYNTHETIC]")
        self.center = self.position(self.source)
        inner, outer = (ballMask(self.source, self.center, radius).transpose(2, 1, 0) for radius in (9.0, 13.0))
        values = slicer.util.arrayFromVolume(self.output)
        values[outer & ~inner] += DARKER
        values[inner] += BRIGHTER
        slicer.util.arrayFromVolumeModified(self.output)
        places = np.argwhere(outer)[:, ::-1]
        self.box = tuple(places.min(axis=0).tolist()), tuple((places.max(axis=0) + 1).tolist())
        for volume in (self.source, self.output):
            volume.CreateDefaultDisplayNodes()
            volume.GetDisplayNode().SetAutoWindowLevel(False)
            volume.GetDisplayNode().SetWindowLevel(600.0, 40.0)
        slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        slicer.util.setSliceViewerLayers(background=self.source, foreground=None, label=None, fit=True)
        self.review = Review()
        self.addCleanup(self.review.close)
        self.review.setVolumes(self.source, self.output, self.box)

    def backgrounds(self) -> set[str]:
        """Ids of the volumes behind everything in the slice views."""
        return {node.GetBackgroundVolumeID() for node in views.compositeNodes()}

    def fields(self) -> list[tuple[float, ...]]:
        """Place and size of what the slice views show."""
        nodes = slicer.util.getNodesByClass("vtkMRMLSliceNode")
        return [(*slicer.util.arrayFromVTKMatrix(node.GetXYToRAS()).ravel(), *node.GetFieldOfView()) for node in nodes]

    def axial(self) -> np.ndarray:
        """What the axial view shows."""
        return self.picture(slicer.app.layoutManager().sliceWidget("Red").sliceView()).astype(int)


class ModesTest(ReviewCase):
    """Which volume is shown where."""

    def test_before_and_after_exchange_the_background_and_nothing_else(self):
        fields = self.fields()
        self.review.mode = "after"
        self.assertEqual(self.backgrounds(), {self.output.GetID()})
        self.review.mode = "before"
        self.assertEqual(self.backgrounds(), {self.source.GetID()})
        np.testing.assert_allclose(self.fields(), fields)

    def test_stop_shows_what_was_shown_before(self):
        other = self.ct("Other")
        green = slicer.app.layoutManager().sliceWidget("Green").mrmlSliceCompositeNode()
        green.SetBackgroundVolumeID(other.GetID())
        green.SetForegroundVolumeID(self.source.GetID())
        green.SetForegroundOpacity(0.3)
        states = [(views.layerIds(node), node.GetForegroundOpacity()) for node in views.compositeNodes()]
        nodes = slicer.mrmlScene.GetNumberOfNodes()
        for mode in ("after", "difference", "blink", "before", "difference"):
            self.review.mode = mode
        self.review.stop()
        self.assertEqual(self.review.mode, "")
        self.assertEqual(states, [(views.layerIds(node), node.GetForegroundOpacity()) for node in views.compositeNodes()])
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)

    def test_stop_leaves_a_background_that_somebody_else_has_chosen(self):
        other = self.ct("Other")
        self.review.mode = "after"
        red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
        red.SetBackgroundVolumeID(other.GetID())
        self.review.stop()
        self.assertEqual(red.GetBackgroundVolumeID(), other.GetID())

    def test_blinking_alternates_about_twice_a_second_until_the_module_is_left(self):
        seen = []
        self.review.mode = "blink"
        node = views.compositeNodes()[0]
        tag = node.AddObserver("ModifiedEvent", lambda *_: seen.append(node.GetBackgroundVolumeID()))
        self.addCleanup(node.RemoveObserver, tag)
        self.wait(2.2)
        self.assertIn(len(seen), (3, 4, 5))
        self.assertEqual(seen[:2], [self.source.GetID(), self.output.GetID()])
        self.review.leave()
        self.assertEqual(self.review.mode, "after")
        del seen[:]
        self.wait(1.1)
        self.assertEqual(seen, [])
        self.assertEqual(self.backgrounds(), {self.output.GetID()})

    def test_nothing_to_compare_is_said(self):
        self.review.setVolumes(self.source, None)
        with self.assertRaisesRegex(RequestError, "no result"):
            self.review.mode = "after"
        self.review.setVolumes(self.source, self.output)
        with self.assertRaisesRegex(RequestError, "no comparison"):
            self.review.mode = "upside down"

    def test_a_closed_scene_ends_the_comparison(self):
        self.review.mode = "blink"
        slicer.mrmlScene.Clear(0)
        self.wait(0.7)
        self.assertEqual(self.review.mode, "")

    def test_jumping_to_a_lesion_brings_every_slice_to_it_and_keeps_the_zoom(self):
        zoom = [node.GetFieldOfView() for node in views.sliceNodes()]
        self.review.jumpTo(tuple(self.center))
        for node in views.sliceNodes():
            normal = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:3, 2]
            origin = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:3, 3]
            self.assertAlmostEqual(float(normal @ (self.center - origin)), 0.0, places=3)
        self.assertEqual(zoom, [node.GetFieldOfView() for node in views.sliceNodes()])

    def test_jumping_shifts_a_view_only_where_the_lesion_would_be_out_of_sight(self):
        node = views.sliceNodes()[0]
        node.SetFieldOfView(20.0, 20.0, 2.0)
        self.review.jumpTo((90.0, 40.0, 10.0))
        self.assertTrue(np.allclose(slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:2, 3], (90.0, 40.0)))
        before = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:2, 3].copy()
        self.review.jumpTo((94.0, 40.0, 12.0))
        np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:2, 3], before)


class DifferenceTest(ReviewCase):
    """The difference as a volume of its own."""

    def test_it_is_red_where_brighter_blue_where_darker_and_clear_elsewhere(self):
        node = Difference().update(self.source, self.output, self.box)
        colors = slicer.util.arrayFromVolume(node).astype(int)
        change = slicer.util.arrayFromVolume(self.output).astype(int) - slicer.util.arrayFromVolume(self.source)
        (i, j, k), (iEnd, jEnd, kEnd) = self.box
        change = change[k:kEnd, j:jEnd, i:iEnd]
        self.assertEqual(colors.shape[:3], change.shape)
        self.assertTrue((colors[change == 0][:, 3] == 0).all())
        self.assertTrue((colors[change > 0][:, 0] > colors[change > 0][:, 2]).all())
        self.assertTrue((colors[change < 0][:, 2] > colors[change < 0][:, 0]).all())
        self.assertTrue((colors[change == BRIGHTER][:, 3] == 255).all())
        self.assertTrue((np.abs(colors[change == DARKER][:, 3] - 255 * 60 / 90) <= 1).all())

    def test_it_lies_where_the_changed_voxels_lie(self):
        self.output.SetAndObserveTransformNodeID(self.linearTransform().GetID())
        node = Difference().update(self.source, self.output, self.box)
        whole, part = (slicer.util.vtkMatrixFromArray(np.eye(4)) for _ in range(2))
        self.output.GetIJKToRASMatrix(whole)
        node.GetIJKToRASMatrix(part)
        first = np.array(whole.MultiplyPoint((*self.box[0], 1.0)))
        np.testing.assert_allclose(part.MultiplyPoint((0.0, 0.0, 0.0, 1.0)), first, atol=1e-6)
        self.assertEqual(node.GetTransformNodeID(), self.output.GetTransformNodeID())

    def test_it_is_not_offered_not_saved_and_marked(self):
        node = Difference().update(self.source, self.output, self.box)
        self.assertTrue(node.GetHideFromEditors())
        self.assertFalse(node.GetSaveWithScene() or node.GetDisplayNode().GetSaveWithScene())
        self.assertEqual(node.GetAttribute("TumorSynth.Synthetic"), "1")

    def test_the_changed_box_is_found_where_it_is_not_told(self):
        self.assertEqual(finished(changedBox(self.source, self.output)), self.box)
        self.assertIsNone(finished(changedBox(self.source, self.source)))
        self.assertIsNone(finished(changedBox(self.source, self.ct(shape=(20, 20, 20)))))
        self.review.setVolumes(self.source, self.output)
        self.review.mode = "difference"
        self.waitUntil(lambda: views.compositeNodes()[0].GetForegroundVolumeID())

    def test_it_follows_another_variant(self):
        self.review.mode = "difference"
        node = slicer.mrmlScene.GetNodeByID(views.compositeNodes()[0].GetForegroundVolumeID())
        before = slicer.util.arrayFromVolume(node).copy()
        slicer.util.arrayFromVolume(self.output)[...] = slicer.util.arrayFromVolume(self.source)
        slicer.util.arrayFromVolumeModified(self.output)
        self.waitUntil(lambda: not slicer.util.arrayFromVolume(node)[..., 3].any())
        self.assertTrue(before[..., 3].any())


class SideBySideTest(ReviewCase):
    """The layout with both volumes."""

    def test_left_is_before_right_is_after_at_the_same_place_and_zoom(self):
        red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
        red.SetFieldOfView(80.0, 80.0, 1.0)
        self.review.jumpTo(tuple(self.center))
        toRas, zoom = (
            slicer.util.arrayFromVTKMatrix(red.GetSliceToRAS()).copy(),
            red.GetFieldOfView()[0] / red.GetDimensions()[0],
        )
        self.review.mode = "sideBySide"
        self.wait(0.05)
        self.assertEqual(slicer.app.layoutManager().layout, LAYOUT)
        for side, volume in (("Before", self.source), ("After", self.output)):
            widget = slicer.app.layoutManager().sliceWidget(tagOf(side, "Axial"))
            self.assertEqual(widget.mrmlSliceCompositeNode().GetBackgroundVolumeID(), volume.GetID())
            node = widget.mrmlSliceNode()
            np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS()), toRas, atol=1e-6)
            self.assertAlmostEqual(node.GetFieldOfView()[0] / node.GetDimensions()[0], zoom, places=6)
            self.assertAlmostEqual(node.GetFieldOfView()[1] / node.GetDimensions()[1], zoom, places=6)

    def test_moving_one_view_moves_the_other(self):
        self.review.mode = "sideBySide"
        self.wait(0.05)
        left, right = (slicer.app.layoutManager().sliceWidget(tagOf(side, "Axial")) for side in ("Before", "After"))
        left.sliceLogic().StartSliceOffsetInteraction()
        left.sliceLogic().SetSliceOffset(left.mrmlSliceNode().GetSliceOffset() + 7.0)
        left.sliceLogic().EndSliceOffsetInteraction()
        self.assertAlmostEqual(left.mrmlSliceNode().GetSliceOffset(), right.mrmlSliceNode().GetSliceOffset(), places=4)
        self.assertNotAlmostEqual(left.mrmlSliceNode().GetSliceOffset(), views.sliceNodes()[1].GetSliceOffset(), places=1)

    def test_leaving_it_brings_back_layout_and_views(self):
        self.review.mode = "before"
        self.review.mode = "sideBySide"
        self.review.mode = "after"
        self.assertEqual(slicer.app.layoutManager().layout, slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self.assertEqual(self.backgrounds(), {self.output.GetID()})
        side = slicer.app.layoutManager().sliceWidget(tagOf("After", "Axial")).mrmlSliceCompositeNode()
        self.assertIsNone(side.GetBackgroundVolumeID())

    def test_another_layout_that_the_user_chooses_ends_it(self):
        self.review.mode = "sideBySide"
        slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
        self.waitUntil(lambda: self.review.mode == "after")
        self.assertEqual(slicer.app.layoutManager().layout, slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
        self.review.stop()
        self.assertEqual(slicer.app.layoutManager().layout, slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)


class SurfaceTest(ReviewCase):
    """The tumors in 3D."""

    def test_the_surface_comes_goes_and_follows_the_segments(self):
        segmentation, _ = self.ball(self.output, radius=8.0)
        segmentation.GetDisplayNode().SetVisibility3D(False)
        self.review.setVolumes(self.source, self.output, self.box, segmentation)
        self.review.show3D(True)
        self.assertTrue(segmentation.GetDisplayNode().GetVisibility3D())
        self.assertAlmostEqual(self.width(segmentation, 0), 16.0, delta=4.0)
        self.ball(self.output, center=self.position(self.output, "left lung"), radius=12.0, segmentation=segmentation)
        self.waitUntil(lambda: self.width(segmentation, 1) > 0.0)
        self.assertAlmostEqual(self.width(segmentation, 1), 24.0, delta=4.0)
        self.review.show3D(False)
        self.assertFalse(segmentation.GetDisplayNode().GetVisibility3D())

    def test_a_layout_without_3D_view_is_left_for_one_that_has_it_and_comes_back(self):
        slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
        segmentation, _ = self.ball(self.output)
        self.review.setVolumes(self.source, self.output, self.box, segmentation)
        self.review.show3D(True)
        self.assertEqual(slicer.app.layoutManager().layout, slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self.review.show3D(False)
        self.assertEqual(slicer.app.layoutManager().layout, slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)

    def width(self, segmentation, index):
        """Extent of a segment's surface along R in mm; 0 without one."""
        segment = segmentation.GetSegmentation().GetNthSegment(index)
        surface = segment.GetRepresentation("Closed surface")
        if surface is None or not surface.GetNumberOfPoints():
            return 0.0
        low, high = surface.GetBounds()[:2]
        return high - low


@needsRendering
class PictureTest(ReviewCase):
    """What is drawn."""

    def test_the_pictures_differ_at_the_tumor_and_only_there(self):
        self.review.jumpTo(tuple(self.center))
        pictures = {}
        for mode in ("before", "after", "difference"):
            self.review.mode = mode
            pictures[mode] = self.axial()
            self.screenshot(slicer.app.layoutManager().sliceWidget("Red").sliceView(), f"review-{mode}")
        x, y = self.pixel(self.center)
        after, difference = (pictures[mode] - pictures["before"] for mode in ("after", "difference"))
        self.assertTrue((after[y - 3 : y + 4, x - 3 : x + 4] > 20).all())
        self.assertGreater(difference[y, x, 0], 50)
        self.assertLess(difference[y, x, 2], 0)
        far = np.ones(after.shape[:2], bool)
        far[max(0, y - 90) : y + 90, max(0, x - 90) : x + 90] = False
        self.assertEqual(np.abs(after[far]).max(), 0)
        self.assertEqual(np.abs(difference[far]).max(), 0)

    def test_side_by_side_shows_the_tumor_on_the_right_alone(self):
        self.review.jumpTo(tuple(self.center))
        self.review.mode = "sideBySide"
        self.wait(0.05)
        shown = {}
        for side in ("Before", "After"):
            view = slicer.app.layoutManager().sliceWidget(tagOf(side, "Axial")).sliceView()
            shown[side] = self.picture(view).astype(int)
            self.screenshot(view, f"review-side-{side}")
        change = np.abs(shown["After"] - shown["Before"]).max(axis=2)
        self.assertGreater(change.max(), 20)
        self.assertLess((change > 20).mean(), 0.2)

    def pixel(self, ras):
        """Column and row of a position in the axial view."""
        view = slicer.app.layoutManager().sliceWidget("Red").sliceView()
        x, y, _ = view.convertRASToXYZ([float(value) for value in ras])
        return round(x), self.axial().shape[0] - 1 - round(y)
