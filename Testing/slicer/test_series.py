"""A growing tumor as sequences."""

import json

import numpy as np
import slicer
import slicer.util
from slicer_case import SlicerCase
from slicer_phantoms import ballMask
from slicer_results import writeResult

from TumorSynthLib.errors import TumorSynthError
from TumorSynthSlicer import marks, segments
from TumorSynthSlicer.grids import ijkToRas
from TumorSynthSlicer.series import growSeries, seriesBytes
from TumorSynthSlicer.tasks import finished

RADII = (6.0, 9.0, 12.0)


class SeriesTest(SlicerCase):
    """Real sequence nodes."""

    def setUp(self) -> None:
        super().setUp()
        self.source = self.ct("Thorax", leftHanded=True, oblique=True)
        self.source.SetAndObserveTransformNodeID(self.linearTransform().GetID())
        self.before = slicer.util.arrayFromVolume(self.source).copy()
        self.folder = self.temporaryFolder()
        self.masks, self.arrays, names = [], [], []
        for number, radius in enumerate(RADII, start=1):
            mask = ballMask(self.source, self.position(self.source, "left lung"), radius)
            array = self.before.copy()
            array[mask.transpose(2, 1, 0)] = 10 * number
            names.append(f"{number:02d}")
            writeResult(self.folder / names[-1], self.source, array, {"Tumor": mask}, steps=number)
            self.masks.append(mask)
            self.arrays.append(array)
        told = {"schema": 1, "synthetic": "SYNTHETIC", "series": names}
        (self.folder / "result.json").write_text(json.dumps(told), encoding="utf-8")

    def testTheBrowserGoesThroughVolumesAndTumors(self) -> None:
        series = finished(growSeries(self.folder, self.source))
        ml = [mask.sum() * 10.0 / 1000.0 for mask in self.masks]
        indices = [series.volumes.GetNthIndexValue(number) for number in range(3)]
        self.assertEqual(indices, [f"{number}: {size:.3g} mL" for number, size in enumerate(ml, start=1)])
        self.assertEqual((series.volumes.GetIndexName(), series.volumes.GetIndexUnit()), ("time", ""))
        volume, node = (series.browser.GetProxyNode(each) for each in series[1:])
        for number in (0, 2, 1):
            series.browser.SetSelectedItemNumber(number)
            slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(series.browser)
            self.assertTrue(np.array_equal(slicer.util.arrayFromVolume(volume), self.arrays[number]))
            self.assertTrue(np.allclose(ijkToRas(volume), ijkToRas(self.source)))
            self.assertEqual(volume.GetTransformNodeID(), self.source.GetTransformNodeID())
            found = segments.segmentMask(node, "TumorSynth_1", self.source)
            whole = np.zeros(self.masks[number].shape, bool)
            whole[found.box.slices] = found.mask
            self.assertTrue(np.array_equal(whole, self.masks[number]))
        self.assertTrue(np.array_equal(slicer.util.arrayFromVolume(self.source), self.before))

    def testEverythingOfASeriesIsMarked(self) -> None:
        series = finished(growSeries(self.folder, self.source))
        proxies = [series.browser.GetProxyNode(node) for node in series[1:]]
        inner = [node.GetNthDataNode(number) for node in series[1:] for number in range(3)]
        for node in (*series, *proxies, *inner):
            self.assertTrue(marks.isSynthetic(node), node.GetName())
        self.assertEqual([len(marks.editsOf(node)) for node in series], [3, 3, 3])
        for node in series[1:]:
            told = [marks.editsOf(node.GetNthDataNode(number)) for number in range(3)]
            self.assertEqual(told, [[edit] for edit in marks.editsOf(node)])
        series.browser.SetSelectedItemNumber(2)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(series.browser)
        for node in proxies:
            self.assertEqual(node.GetAttribute(marks.SYNTHETIC), "1")
            self.assertEqual(marks.editsOf(node), marks.editsOf(series.browser)[2:])
            self.assertTrue(node.GetName().endswith(marks.SUFFIX))

    def testASeriesOfASyntheticVolumeTellsOfEarlierEditsToo(self) -> None:
        scan, first = self.ct("Scan"), {"seed": 3}
        marks.markSynthetic(self.source, {"edits": [first]}, scan)
        series = finished(growSeries(self.folder, self.source))
        self.assertIs(marks.sourceOf(series.browser), scan)
        self.assertEqual(len(marks.editsOf(series.browser)), 4)
        for node in (series.browser, series.volumes.GetNthDataNode(1)):
            self.assertEqual(marks.editsOf(node)[0], first)
            self.assertEqual(marks.manifestOf(node)["source"]["name"], "Scan")

    def testNothingElseIsLeftInTheScene(self) -> None:
        def count() -> tuple[int, int]:
            kinds = ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode")
            return tuple(slicer.mrmlScene.GetNumberOfNodesByClass(kind) for kind in kinds)

        finished(growSeries(self.folder, self.source))
        self.assertEqual(count(), (2, 1))

    def testWorkThatIsGivenUpOrFailsLeavesNothing(self) -> None:
        nodes = slicer.mrmlScene.GetNumberOfNodes()
        work = growSeries(self.folder, self.source)
        for _ in range(5):
            next(work)
        work.close()
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)
        (self.folder / "03" / "image.nrrd").unlink()
        with self.assertRaises(TumorSynthError) as caught:
            finished(growSeries(self.folder, self.source))
        self.assertEqual(caught.exception.code, "image.missing")
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)

    def testASingleResultIsNoSeries(self) -> None:
        with self.assertRaises(TumorSynthError) as caught:
            finished(growSeries(self.folder / "01", self.source))
        self.assertEqual(caught.exception.code, "output.result")

    def testTheMemoryIsToldBefore(self) -> None:
        self.assertEqual(seriesBytes(self.source, 3), 3 * self.before.nbytes)
