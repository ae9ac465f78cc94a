"""Marks of synthetic nodes, and what files keep of them."""

from typing import Any

import numpy as np
import slicer
import slicer.util
from slicer_case import SlicerCase

from TumorSynthSlicer import marks, segments
from TumorSynthSlicer.segments import MaskBox

TOLD = {
    "text": "ä; b: c \"q\" <x> & 'y' %20 |\n end",
    "edits": [{"request": {"op": "insert", "at": [1.5, -2.25, 3.0]}, "seed": 7}],
}


class MarksTest(SlicerCase):
    """On volumes and segmentations."""

    def setUp(self) -> None:
        super().setUp()
        self.source = self.ct("Thorax")
        self.volume = self.ct("Thorax TumorSynth")
        self.node = segments.outputSegmentation(self.volume, "Lesions")
        segments.setSegment(self.node, "one", "Lesion 1", MaskBox(np.ones((3, 4, 5), bool), (9, 9, 9)), self.volume)
        for node in (self.volume, self.node):
            marks.markSynthetic(node, TOLD, self.source)

    def testAMarkIsSeenInNameAndAttributes(self) -> None:
        for node, name in ((self.volume, "Thorax TumorSynth"), (self.node, "Lesions")):
            self.assertEqual(node.GetName(), f"{name} [SYNTHETIC]")
            self.assertEqual(node.GetAttribute("TumorSynth.Synthetic"), "1")
            self.assertEqual(marks.manifestOf(node), TOLD)
            self.assertIs(marks.sourceOf(node), self.source)
            self.assertTrue(marks.isSynthetic(node))
        self.assertFalse(marks.isSynthetic(self.source))
        self.assertFalse(marks.isSynthetic(None))

    def testMarkingAgainRenewsTheManifestAlone(self) -> None:
        marks.markSynthetic(self.volume, {"edits": []})
        self.assertEqual(self.volume.GetName(), "Thorax TumorSynth [SYNTHETIC]")
        self.assertEqual(marks.manifestOf(self.volume), {"edits": []})
        self.assertIs(marks.sourceOf(self.volume), self.source)

    def testAnyOfTheMarksIsEnough(self) -> None:
        self.volume.RemoveAttribute("TumorSynth.Synthetic")
        self.assertTrue(marks.isSynthetic(self.volume))
        self.volume.SetName("Renamed")
        self.assertFalse(marks.isSynthetic(self.volume))
        self.node.RemoveAttribute("TumorSynth.Synthetic")
        self.node.SetName("Renamed")
        self.assertTrue(marks.isSynthetic(self.node), "its segments still tell")

    def testAManifestThatCannotBeUnderstoodIsEmpty(self) -> None:
        for text in ("{", "[1]", ""):
            self.volume.SetAttribute(marks.MANIFEST, text)
            self.assertEqual(marks.manifestOf(self.volume), {})

    def testTheSceneKeepsAllMarks(self) -> None:
        folder = self.temporaryFolder()
        for node, name in ((self.volume, "volume.nrrd"), (self.node, "lesions.seg.nrrd"), (self.source, "source.nrrd")):
            self.assertTrue(self.write(node, str(folder / name)))
        slicer.mrmlScene.SetRootDirectory(str(folder))
        self.assertTrue(slicer.mrmlScene.Commit(str(folder / "scene.mrml")))
        slicer.mrmlScene.Clear(0)
        slicer.mrmlScene.SetURL(str(folder / "scene.mrml"))
        self.assertTrue(slicer.mrmlScene.Import())
        volume = slicer.util.getNode("Thorax TumorSynth [[]SYNTHETIC]")
        node = slicer.util.getNode("Lesions [[]SYNTHETIC]")
        for found in (volume, node):
            self.assertTrue(marks.isSynthetic(found))
            self.assertEqual(marks.manifestOf(found), TOLD)
            self.assertEqual(marks.sourceOf(found).GetName(), "Thorax")
        self.assertFalse(marks.isSynthetic(slicer.util.getNode("Thorax")))
        found = segments.segmentMask(node, "one", volume)
        self.assertEqual((found.start, found.mask.shape, found.mask.all()), ((9, 9, 9), (3, 4, 5), True))

    def testASegmentationAloneKeepsItsMarkInItsFile(self) -> None:
        path = self.temporaryFolder() / "lesions.seg.nrrd"
        self.assertTrue(self.write(self.node, str(path)))
        slicer.mrmlScene.Clear(0)
        found = slicer.util.loadSegmentation(str(path))
        self.assertTrue(marks.isSynthetic(found))
        segment = found.GetSegmentation().GetSegment("one")
        self.assertEqual((segment.GetName(), segment.GetTerminology()), ("Lesion 1", segments.NEOPLASM))

    def write(self, node: Any, path: str) -> bool:
        """Write a node, as saving the scene does."""
        node.AddDefaultStorageNode()
        node.GetStorageNode().SetFileName(path)
        return bool(node.GetStorageNode().WriteData(node))
