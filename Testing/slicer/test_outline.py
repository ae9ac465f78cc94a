"""The outline that follows the sliders."""

import time
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
from slicer_case import SlicerCase, needsRendering
from vtk.util.numpy_support import vtk_to_numpy

from TumorSynthLib.mask_code import decode_mask, encode_mask
from TumorSynthLib.volume import Volume
from TumorSynthSlicer import transforms
from TumorSynthSlicer.grids import geometryOf
from TumorSynthSlicer.outline import COLORS, Outline, surfaceOf


class OutlineTest(SlicerCase):
    """A model that belongs to no one's data."""

    def setUp(self) -> None:
        super().setUp()
        self.outline = Outline()
        self.addCleanup(self.outline.remove)
        self.volume = self.ct(leftHanded=True, oblique=True)

    def preview(self, radius: float = 12.0, center: Any = None) -> Volume:
        """A ball as the worker's preview tells it."""
        geometry = geometryOf(self.volume)
        center = geometry.to_ras((np.array(geometry.shape) - 1) / 2) if center is None else center
        points = geometry.to_ras(np.stack(np.indices(geometry.shape), axis=-1))
        return decode_mask(encode_mask(((points - center) ** 2).sum(axis=-1) <= radius**2, geometry))

    def points(self) -> np.ndarray:
        """The surface in the world."""
        node, world = self.outline.node, vtk.vtkGeneralTransform()
        if node.GetParentTransformNode() is not None:
            node.GetParentTransformNode().GetTransformToWorld(world)
        own = vtk_to_numpy(node.GetPolyData().GetPoints().GetData())
        return np.array([world.TransformPoint(point) for point in own.astype(float)])

    def testTheSurfaceLiesOnTheTumorInTheWorld(self) -> None:
        self.volume.SetAndObserveTransformNodeID(self.linearTransform().GetID())
        geometry = geometryOf(self.volume)
        center = geometry.to_ras((np.array(geometry.shape) - 1) / 2)
        self.outline.show(self.preview(), self.volume)
        found = self.points()
        world = transforms.volumeToWorld(self.volume, center)
        self.assertLess(np.abs(found.mean(axis=0) - world).max(), 0.2)
        radii = np.linalg.norm(found - world, axis=1)
        self.assertLess(abs(radii.mean() - 12.0), 0.4)
        self.assertLess(radii.std(), 0.6)

    def testTheSurfaceEnclosesTheVolumeAlsoOfSmallTumors(self) -> None:
        for radius, share in ((5.0, 0.15), (8.0, 0.1), (14.0, 0.06)):
            mask = self.preview(radius)
            mass = vtk.vtkMassProperties()
            mass.SetInputData(surfaceOf(mask))
            expected = np.count_nonzero(mask.array) * mask.geometry.voxel_volume_mm3
            self.assertLess(abs(mass.GetVolume() / expected - 1.0), share, radius)

    def testOneModelIsReusedColoredHiddenAndRemoved(self) -> None:
        self.assertFalse(self.outline.visible)
        self.outline.show(self.preview(), self.volume)
        first = self.outline.node
        self.assertTrue(self.outline.visible)
        self.assertEqual(first.GetDisplayNode().GetColor(), COLORS["draft"])
        self.outline.show(self.preview(6.0), self.volume, "failed")
        self.assertIs(self.outline.node, first)
        self.assertEqual(first.GetDisplayNode().GetColor(), COLORS["failed"])
        self.outline.hide()
        self.assertFalse(self.outline.visible)
        self.outline.remove()
        self.assertIsNone(self.outline.node)
        self.assertEqual(slicer.util.getNodes("TumorSynth outline*"), {})
        self.outline.remove()
        self.outline.hide()

    def testItIsNobodysData(self) -> None:
        self.outline.show(self.preview(), self.volume)
        node = self.outline.node
        for part in (node, node.GetDisplayNode()):
            self.assertTrue(part.GetHideFromEditors())
            self.assertFalse(part.GetSaveWithScene())
        self.assertTrue(node.GetDisplayNode().GetVisibility2D())
        self.assertFalse(node.GetSelectable())
        path = self.temporaryFolder() / "scene.mrml"
        slicer.mrmlScene.Commit(str(path))
        self.assertNotIn("outline", path.read_text(encoding="utf-8"))

    def testItComesBackAfterTheSceneWasClosed(self) -> None:
        self.outline.show(self.preview(), self.volume)
        slicer.mrmlScene.Clear(0)
        self.assertFalse(self.outline.visible)
        self.outline.hide()
        self.volume = self.ct()
        self.outline.show(self.preview(), self.volume)
        self.assertTrue(self.outline.visible)

    def testTwentyThousandVoxelsTakeLessThanThirtyMilliseconds(self) -> None:
        self.volume = self.ct(shape=(60, 60, 60), spacing=(1.0, 1.0, 1.0))
        mask = self.preview(16.9)
        self.assertGreater(np.count_nonzero(mask.array), 20_000)
        self.outline.show(mask, self.volume)
        taken = []
        for _ in range(5):
            start = time.thread_time()
            self.outline.show(mask, self.volume)
            taken.append(time.thread_time() - start)
        self.assertLess(min(taken), 0.03)

    @needsRendering
    def testItIsDrawnInTheSliceViews(self) -> None:
        manager = slicer.app.layoutManager()
        view = manager.sliceWidget("Red").sliceView()
        slicer.util.setSliceViewerLayers(background=self.volume)
        geometry = geometryOf(self.volume)
        center = geometry.to_ras((np.array(geometry.shape) - 1) / 2)
        view.mrmlSliceNode().JumpSliceByOffsetting(*center)
        before = self.picture(view)
        self.outline.show(self.preview(), self.volume, "failed")
        after = self.picture(view)
        red = (after[..., 0].astype(int) - after[..., 2] > 80) & (before[..., 0].astype(int) - before[..., 2] < 40)
        self.assertGreater(np.count_nonzero(red), 40)
        self.screenshot(view, "outline")
