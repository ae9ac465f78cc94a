"""The words "SYNTHETIC - not for clinical use": in every view that shows something synthetic, and in no other."""

import gc
import time

import numpy as np
import slicer
import vtk
from slicer_case import SlicerCase, needsRendering

from TumorSynthSlicer.annotation import SyntheticAnnotation, showsAny
from TumorSynthSlicer.marks import markSynthetic

CORNER = (slice(0, 40), slice(120, 400))
"""Where the words stand in a view of 400 x 400 pixels."""


class AnnotationCase(SlicerCase):
    """A scan, and a synthetic copy of it that no view shows yet."""

    def setUp(self) -> None:
        super().setUp()
        slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self.real = self.ct("Real")
        self.synthetic = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, self.real, "Copy")
        markSynthetic(self.synthetic, {})
        self.show("Red", self.real)
        self.show("Yellow", self.real)
        self.show("Green", self.real)
        self.annotation = SyntheticAnnotation()
        self.addCleanup(self.annotation.stop)
        self.annotation.start()

    def show(self, name, background, foreground=None, opacity=0.0):
        """Let a slice view show volumes."""
        composite = slicer.app.layoutManager().sliceWidget(name).mrmlSliceCompositeNode()
        composite.SetBackgroundVolumeID(background.GetID())
        composite.SetForegroundVolumeID(foreground.GetID() if foreground else None)
        composite.SetForegroundOpacity(opacity)
        composite.SetLabelVolumeID(None)

    def view(self, name):
        """A slice view, or the 3D view."""
        manager = slicer.app.layoutManager()
        return manager.threeDWidget(0).threeDView() if name == "3D" else manager.sliceWidget(name).sliceView()

    def marked(self):
        """Names of the views that are to bear the words."""
        shown = {node.GetID() for node in (self.synthetic, *slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))}
        shown = {key for key in shown if slicer.mrmlScene.GetNodeByID(key).GetAttribute("TumorSynth.Synthetic") == "1"}
        manager = slicer.app.layoutManager()
        nodes = {name: manager.sliceWidget(name).mrmlSliceNode() for name in ("Red", "Green", "Yellow")}
        nodes["3D"] = manager.threeDWidget(0).mrmlViewNode()
        return {name for name, node in nodes.items() if showsAny(node, shown)}


class MemoryTest(AnnotationCase):
    """It is on as long as the application, and must not keep what the user has closed."""

    def test_a_volume_that_is_removed_is_freed(self):
        self.wait(0.05)
        for volume in ("real", "synthetic"):
            held = vtk.vtkWeakReference()
            held.Set(getattr(self, volume))
            slicer.mrmlScene.RemoveNode(getattr(self, volume))
            setattr(self, volume, None)
            self.wait(0.05)
            gc.collect()
            self.assertIsNone(held.Get(), volume)


class WhereTest(AnnotationCase):
    """Which views show something synthetic."""

    def test_no_view_that_shows_real_data_alone_bears_the_words(self):
        self.assertEqual(self.marked(), set())

    def test_the_background_counts(self):
        self.show("Red", self.synthetic)
        self.assertEqual(self.marked(), {"Red"})

    def test_a_foreground_counts_as_soon_as_it_can_be_seen(self):
        self.show("Green", self.real, self.synthetic)
        self.assertEqual(self.marked(), set())
        self.show("Green", self.real, self.synthetic, 0.2)
        self.assertEqual(self.marked(), {"Green"})

    def test_a_visible_segmentation_counts_in_slices_and_with_its_surface_in_3D(self):
        segmentation, _ = self.ball(self.real)
        self.assertEqual(self.marked(), set())
        markSynthetic(segmentation, {})
        self.assertEqual(self.marked(), {"Red", "Green", "Yellow"})
        segmentation.CreateClosedSurfaceRepresentation()
        self.assertEqual(self.marked(), {"Red", "Green", "Yellow", "3D"})
        segmentation.GetDisplayNode().SetVisibility2D(False)
        self.assertEqual(self.marked(), {"3D"})
        segmentation.GetDisplayNode().SetVisibility(False)
        self.assertEqual(self.marked(), set())

    def test_a_segmentation_that_one_view_alone_shows_counts_there_alone(self):
        segmentation, _ = self.ball(self.real)
        markSynthetic(segmentation, {})
        segmentation.GetDisplayNode().SetViewNodeIDs([slicer.app.layoutManager().sliceWidget("Green").mrmlSliceNode().GetID()])
        self.assertEqual(self.marked(), {"Green"})

    def test_a_slice_in_the_3D_view_counts(self):
        self.show("Red", self.synthetic)
        slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode().SetSliceVisible(True)
        self.addCleanup(slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode().SetSliceVisible, False)
        self.assertEqual(self.marked(), {"Red", "3D"})


@needsRendering
class WordsTest(AnnotationCase):
    """What is written."""

    def corner(self, name):
        """Pixels of the corner that have the color of the words."""
        self.wait(0.02)
        red, green, blue = np.moveaxis(self.picture(self.view(name))[CORNER].astype(int), -1, 0)
        return int(((red > 200) & (green > 140) & (blue < 110)).sum())

    def test_the_words_come_and_go_with_the_synthetic_volume(self):
        self.assertEqual(self.corner("Red"), 0)
        self.show("Red", self.synthetic)
        self.assertGreater(self.corner("Red"), 300)
        self.assertEqual(self.corner("Green"), 0)
        self.screenshot(self.view("Red"), "annotation-slice")
        self.show("Red", self.real)
        self.assertEqual(self.corner("Red"), 0)

    def test_a_mark_that_comes_later_is_seen(self):
        other = self.ct("Other")
        self.show("Yellow", other)
        self.assertEqual(self.corner("Yellow"), 0)
        markSynthetic(other, {})
        self.assertGreater(self.corner("Yellow"), 300)

    def test_the_3D_view_bears_them_with_the_surface(self):
        segmentation, _ = self.ball(self.real)
        markSynthetic(segmentation, {})
        self.assertEqual(self.corner("3D"), 0)
        segmentation.CreateClosedSurfaceRepresentation()
        segmentation.GetDisplayNode().Modified()
        self.assertGreater(self.corner("3D"), 300)
        self.view("3D").resetFocalPoint()
        self.screenshot(self.view("3D"), "annotation-3d")

    def test_slicers_own_text_stays_and_is_not_covered(self):
        self.show("Red", self.synthetic)
        alone = self.rows("Red")
        own = self.view("Red").cornerAnnotation()
        own.SetText(vtk.vtkCornerAnnotation.UpperRight, "Hospital\nScanner")
        self.addCleanup(own.ClearAllTexts)
        self.assertGreater(self.rows("Red").min(), alone.max())
        self.assertEqual(own.GetText(vtk.vtkCornerAnnotation.UpperRight), "Hospital\nScanner")
        self.screenshot(self.view("Red"), "annotation-dicom")
        own.ClearAllTexts()
        self.assertLessEqual(self.rows("Red").max(), alone.max())

    def test_the_words_survive_that_slicer_clears_its_own(self):
        self.show("Red", self.synthetic)
        before = self.corner("Red")
        for corner in range(4):
            self.view("Red").cornerAnnotation().SetText(corner, "")
        self.assertEqual(self.corner("Red"), before)

    def test_they_are_gone_after_the_module_and_do_not_come_back(self):
        self.show("Red", self.synthetic)
        self.assertGreater(self.corner("Red"), 300)
        self.annotation.stop()
        self.assertEqual(self.corner("Red"), 0)
        self.show("Green", self.synthetic)
        self.assertEqual(self.corner("Green"), 0)

    def test_a_closed_scene_takes_them_away(self):
        self.show("Red", self.synthetic)
        self.assertGreater(self.corner("Red"), 300)
        slicer.mrmlScene.Clear(0)
        self.assertEqual(self.corner("Red"), 0)

    def test_looking_again_takes_no_time_that_anybody_would_notice(self):
        self.show("Red", self.synthetic)
        self.corner("Red")
        started = time.perf_counter()
        for _ in range(50):
            self.annotation.update()
        self.assertLess((time.perf_counter() - started) / 50, 0.01)

    def rows(self, name):
        """Rows of the corner that have pixels of the words."""
        self.wait(0.02)
        red, green, blue = np.moveaxis(self.picture(self.view(name))[:80, 120:].astype(int), -1, 0)
        return np.nonzero(((red > 200) & (green > 140) & (blue < 110)).any(axis=1))[0]
