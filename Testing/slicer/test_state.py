"""What becomes of the work when the scene is saved, loaded, closed or imported, and nodes change behind the panel."""

import os
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from module_case import WorkingCase
from slicer_case import needsHarness
from test_qt_process import posix

from TumorSynthSlicer import qt_process
from TumorSynthSlicer.grids import geometryOf
from TumorSynthSlicer.marks import manifestOf
from TumorSynthSlicer.transforms import volumeToWorld


def writeScene(path: Path) -> None:
    """What the application's Save dialog writes: a bundle, or a folder with the scene and its data."""
    if path.suffix == ".mrb":
        assert slicer.mrmlScene.WriteToMRB(str(path))
    else:
        assert slicer.mrmlScene.SaveSceneToSlicerDataBundleDirectory(str(path.parent), None)


def readScene(path: Path, clear: bool = True) -> None:
    """What the application's Load Data dialog does with it."""
    scene = slicer.mrmlScene
    if path.suffix == ".mrb":
        assert scene.ReadFromMRB(str(path), clear)
        return
    (written,) = path.parent.glob("*.mrml")
    scene.SetURL(str(written))
    assert scene.Connect() if clear else scene.Import()


def changedCenter(volume: Any, source: Any) -> np.ndarray:
    """The middle of what differs between two volumes, in the world."""
    found = np.argwhere(slicer.util.arrayFromVolume(volume) != slicer.util.arrayFromVolume(source))[:, ::-1]
    return volumeToWorld(volume, geometryOf(volume).to_ras(found.mean(axis=0)))


class SavedTest(WorkingCase):
    """A session goes into a file and comes back."""

    def roundTrip(self, ending: str) -> None:
        kept = self.keepOne()
        draft = self.place("left lung", shape={"volume_ml": 3.5, "sphericity": 0.8}, texture={"firstorder_Mean": 20.0}, rim=0.4)
        self.session.update(draft, name="Upper lobe", core={"share": 0.25}, massEffect=0.2)
        segmentation, segment = self.ball(self.scan, center=self.position(self.scan, "right lung"), name="Old")
        moved = self.session.addSegment(segmentation, segment, "move")
        self.session.setTarget(moved, tuple(self.position(self.scan, "left lung")))
        self.session.setRegion(segmentation, segment)
        self.ui.stepsSpin.value = 7
        self.ui.variantsSpin.value = 2
        self.session.select(draft)
        self.waitUntil(lambda: self.session.lesions.get(moved).measured)
        expected, rows = self.output(), [lesion.toDict() for lesion in self.session.lesions.all()]
        manifest, target = self.session.manifest, np.zeros(3)
        self.session.places.target(moved).GetNthControlPointPositionWorld(0, target)
        path = self.temporaryFolder() / f"scene{ending}"
        writeScene(path)
        readScene(path)
        self.wait(0.2)
        self.assertEqual([lesion.toDict() for lesion in self.session.lesions.all()], rows)
        self.assertEqual((self.session.lesions.selected, self.own.steps, self.own.variants), (draft, 7, 2))
        self.assertEqual((self.session.domain, self.own.regionSegmentId), ("soft-tissue-ct", segment))
        self.assertEqual(self.own.region.GetName(), "Segmentation")
        self.assertEqual(self.session.manifest, manifest)
        self.assertEqual(len(manifest), 1)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(self.session.source), self.before)
        np.testing.assert_array_equal(self.output(), expected)
        back = np.zeros(3)
        self.session.places.target(moved).GetNthControlPointPositionWorld(0, back)
        np.testing.assert_allclose(back, target, atol=1e-3)
        self.assertEqual(self.errors, [])
        self.goOn(kept, draft, expected)

    def goOn(self, kept: str, draft: str, expected: np.ndarray) -> None:
        """What was kept is the start of the next edit, and stays when that is taken back."""
        self.assertIn("saved", self.session.why("undo"))
        self.assertEqual(self.ui.lesionTable.rowCount, 3)
        self.session.setRegion(None)
        self.own.variants = 1
        self.session.update(draft, rim=0.0)  # of which the tiny bundle knows nothing
        self.session.generate([draft])
        self.made()
        self.session.keep()
        self.wait(0.05)
        self.assertFalse(np.array_equal(self.output(), expected))
        self.assertEqual(len(self.session.manifest), 2)
        self.session.undo()
        np.testing.assert_array_equal(self.output(), expected)
        self.session.update(kept, operation="remove")
        self.session.generate([kept])
        self.made()
        self.session.keep()
        self.assertEqual(self.errors, [])

    def testABundleBringsTheSessionBack(self) -> None:
        self.roundTrip(".mrb")

    def testASceneFileBringsTheSessionBack(self) -> None:
        self.roundTrip(".mrml")

    def testALeftHandedScanUnderATransformComesBackTurnedRound(self) -> None:
        """Slicer's file readers turn such a grid round along k: what was kept still lies where it was in the world."""
        scan = self.ct("Left", leftHanded=True)
        scan.SetAndObserveTransformNodeID(self.linearTransform().GetID())
        self.scan = self.load(scan)
        self.session.setSource(scan)
        key = self.session.addPoint(tuple(volumeToWorld(scan, self.position(scan))))
        self.session.update(key, shape={"volume_ml": 2.0}, seed=3)
        self.session.generate([key])
        self.made()
        self.session.keep()
        self.wait(0.05)
        middle = changedCenter(self.own.outputVolume, scan)
        np.testing.assert_allclose(middle, volumeToWorld(scan, self.position(scan)), atol=4.0)
        expected = self.output()
        path = self.temporaryFolder() / "scene.mrb"
        writeScene(path)
        readScene(path)
        self.wait(0.2)
        np.testing.assert_array_equal(self.output()[::-1], expected)
        np.testing.assert_allclose(changedCenter(self.own.outputVolume, self.session.source), middle, atol=1e-3)
        self.session.update(key, operation="remove")
        self.session.generate([key])
        self.made()
        self.session.keep()
        self.wait(0.05)
        self.assertEqual(self.session.lesions.get(key).state, "kept")
        self.assertEqual(self.errors, [])


class BehindThePanelTest(WorkingCase):
    """Other modules change what the panel works with."""

    def testUndoAndRedoThroughSeveralEditsAreExact(self) -> None:
        states = [self.before]
        for where in ("tissue", "left lung", "right lung"):
            self.keepOne(where)
            states.append(self.output())
        for older, newer in pairwise(states):
            self.assertFalse(np.array_equal(older, newer))
        for number in (2, 1, 0):
            self.press(self.ui.undoButton)
            np.testing.assert_array_equal(self.output(), states[number])
        for number in (1, 2, 3):
            self.press(self.ui.redoButton)
            np.testing.assert_array_equal(self.output(), states[number])
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(self.scan), self.before)
        self.assertEqual(self.errors, [])

    def testTheResultsSegmentationIsDeletedBeforeItIsKept(self) -> None:
        key = self.place()
        self.session.generate([key])
        self.made()
        slicer.mrmlScene.RemoveNode(self.own.outputSegmentation)
        self.wait(0.1)
        self.press(self.ui.keepButton)
        self.assertEqual(self.errors, [])
        self.assertEqual(self.session.lesions.get(key).state, "kept")
        self.assertEqual(self.own.outputSegmentation.GetSegmentation().GetNumberOfSegments(), 1)
        self.press(self.ui.undoButton)
        np.testing.assert_array_equal(self.output(), self.before)

    def testTheKeptSegmentationIsDeletedAndTheEditCanStillBeUndone(self) -> None:
        self.keepOne()
        slicer.mrmlScene.RemoveNode(self.own.outputSegmentation)
        self.wait(0.1)
        self.assertEqual(self.session.lesions.all(), [])
        self.press(self.ui.undoButton)
        np.testing.assert_array_equal(self.output(), self.before)
        self.press(self.ui.redoButton)
        self.assertEqual(self.own.outputSegmentation.GetSegmentation().GetNumberOfSegments(), 1)
        self.assertEqual(self.errors, [])

    def testTheSourceIsPaintedOverAfterAnEditWasKept(self) -> None:
        """The output goes on from what it was made of; nothing of it is lost or mixed up, and the user is told."""
        self.keepOne()
        kept = self.output()
        array = slicer.util.arrayFromVolume(self.scan)
        array[:4] = 77
        slicer.util.arrayFromVolumeModified(self.scan)
        self.wait(0.1)
        self.assertEqual([error.code for error in self.errors], ["scan.changed"])
        self.errors.clear()
        self.session.undo()
        np.testing.assert_array_equal(self.output(), self.before)
        self.session.redo()
        np.testing.assert_array_equal(self.output(), kept)
        self.session.undo()
        place = self.position(self.scan) - (0.0, 0.0, 40.0)  # where it was painted over
        key = self.session.addPoint(tuple(place))
        self.session.update(key, shape={"volume_ml": 3.0})
        self.session.generate([key])
        self.made()
        found = np.argwhere(self.output() != self.before)[:, ::-1].mean(axis=0)
        np.testing.assert_allclose(geometryOf(self.scan).to_ras(found), place, atol=8.0)
        self.press(self.ui.keepButton)
        self.press(self.ui.undoButton)
        np.testing.assert_array_equal(self.output(), self.before)
        self.assertEqual(self.errors, [])

    def testTheOutputVolumeIsDeletedWhileAResultWaits(self) -> None:
        key = self.place()
        self.session.generate([key])
        self.made()
        slicer.mrmlScene.RemoveNode(self.own.outputVolume)
        self.wait(0.1)
        self.assertEqual((self.session.state, self.session.lesions.get(key).state), ("ready", "draft"))
        self.session.generate([key])
        self.made()
        self.assertEqual(self.session.state, "result")

    def testTheScanIsDeletedWhileARunGoesOn(self) -> None:
        self.place()
        self.ui.stepsSpin.value = 500
        self.session.generate()
        self.wait(0.5)
        slicer.mrmlScene.RemoveNode(self.scan)
        self.waitUntil(lambda: self.session.state == "noScan")
        self.assertEqual([error.code for error in self.errors], ["scan.gone"])
        self.waitUntil(lambda: self.widget.logic.service.state == "ready", 40.0)
        self.wait(0.3)
        self.assertEqual([path.name for path in self.temporary() if path.is_dir()], [])

    def testANonLinearTransformAsksForACopy(self) -> None:
        key = self.place()
        self.scan.SetAndObserveTransformNodeID(self.bentTransform().GetID())
        self.wait(0.1)
        self.assertIn("not linear", self.session.why("generate"))
        self.assertEqual([error.code for error in self.errors], ["transform.nonlinear"])
        self.assertTrue(self.ui.lesionTable.rowCount)
        self.scan.SetAndObserveTransformNodeID(None)
        self.wait(0.1)
        self.assertEqual(self.session.why("generate"), "")
        self.assertIn(key, self.session.lesions)

    def testAnotherOutputVolumeIsChosenByHand(self) -> None:
        """What it holds is the start of the next edit, and the edits of the other one stay there."""
        self.keepOne()
        first, kept = self.own.outputVolume, self.output()
        self.ui.outputVolumeSelector.setCurrentNode(None)
        self.wait(0.1)
        self.assertTrue(self.session.why("undo"))
        self.assertEqual(self.session.manifest, [])
        key = self.place("left lung")
        self.session.generate([key])
        self.made()
        self.assertIsNot(self.own.outputVolume, first)
        self.session.keep()
        second = self.output()
        self.assertEqual(((second != self.before) & (kept != self.before)).sum(), 0)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(first), kept)
        self.ui.outputVolumeSelector.setCurrentNode(first)
        self.wait(0.1)
        self.assertEqual(len(self.session.manifest), 1)
        other = self.place("right lung")
        self.session.generate([other])
        self.made()
        self.session.keep()
        self.assertEqual(len(self.session.manifest), 2)
        both = self.output()
        np.testing.assert_array_equal(both[kept != self.before], kept[kept != self.before])
        self.assertEqual(self.errors, [])

    def testADeletedScanIsNotReplacedByTheNextVolume(self) -> None:
        self.keepOne()
        self.assertIs(self.ui.sourceSelector.currentNode(), self.scan)
        slicer.mrmlScene.RemoveNode(self.scan)
        self.wait(0.1)
        self.assertIsNone(self.session.source)
        self.assertIsNone(self.ui.sourceSelector.currentNode())
        self.assertEqual((self.session.state, self.errors), ("noScan", []))

    def testAnotherScanLeavesTheMarksOfTheFirstResult(self) -> None:
        self.keepOne()
        output, told = self.own.outputVolume, manifestOf(self.own.outputVolume)
        self.assertEqual(len(told["edits"]), 1)
        self.ui.sourceSelector.setCurrentNode(self.ct("Other", seed=2))
        self.wait(0.1)
        self.assertEqual(manifestOf(output), told)
        self.ui.sourceSelector.setCurrentNode(self.scan)
        self.wait(0.1)
        self.ui.outputVolumeSelector.setCurrentNode(output)
        self.wait(0.1)
        self.assertEqual(self.session.manifest, told["edits"])
        self.assertIsNotNone(self.own.outputSegmentation)
        self.assertEqual(self.errors, [])

    def testARemovalThatIsShownKeepsItsRow(self) -> None:
        key = self.keepOne()
        self.own.variants = 2
        self.session.update(key, operation="remove")
        self.session.generate([key])
        self.made()
        self.wait(0.2)
        self.assertEqual(self.session.lesions.get(key).state, "result")
        self.press(self.ui.keepButton)
        self.press(self.ui.undoButton)
        self.assertEqual(self.session.lesions.get(key).state, "draft")
        self.assertEqual(self.own.outputSegmentation.GetSegmentation().GetNumberOfSegments(), 1)

    def testOutputsGoAlongWhenTheScanIsRegistered(self) -> None:
        self.keepOne()
        transform = self.linearTransform()
        self.scan.SetAndObserveTransformNodeID(transform.GetID())
        self.wait(0.1)
        for node in (self.own.outputVolume, self.own.outputSegmentation):
            self.assertEqual(node.GetTransformNodeID(), transform.GetID())
        place = volumeToWorld(self.scan, self.position(self.scan, "left lung"))
        key = self.session.addPoint(tuple(place))
        self.session.update(key, shape={"volume_ml": 1.0})
        earlier = self.output()
        self.session.generate([key])
        self.made()
        found = np.argwhere(self.output() != earlier)[:, ::-1].mean(axis=0)
        np.testing.assert_allclose(geometryOf(self.scan).to_ras(found), self.position(self.scan, "left lung"), atol=4.0)
        self.assertEqual(self.errors, [])


class EndTest(WorkingCase):
    """The scene, the module or the application ends while something goes on."""

    def begin(self) -> None:
        """A run that takes long."""
        self.place()
        self.ui.stepsSpin.value = 500
        self.session.generate()
        self.waitUntil(lambda: self.widget.logic.service.state == "busy", 40.0)
        self.wait(0.3)

    def testTheSceneIsClosedDuringARun(self) -> None:
        self.keepOne()
        self.begin()
        slicer.mrmlScene.Clear(0)
        self.assertEqual(self.session.state, "noScan")
        self.wait(0.2)
        self.assertEqual(self.ui.lesionTable.rowCount, 0)
        self.waitUntil(lambda: self.widget.logic.service.state == "ready", 40.0)
        self.waitUntil(lambda: not [path for path in self.temporary() if path.name.startswith(("result", "mask"))])
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"), [])
        self.assertEqual(self.errors, [])
        self.scan = self.load(self.ct("Next"))
        self.ui.sourceSelector.setCurrentNode(self.scan)
        self.session.setDomain("soft-tissue-ct")
        self.ui.stepsSpin.value = 2
        self.keepOne()
        self.assertEqual(len(self.session.manifest), 1)

    @posix
    def testAKilledWorkerIsReportedWithItsLogAndTheNextGenerateStartsAnother(self) -> None:
        from quick_worker import worker_pid  # the way to it is known once there is a worker

        self.begin()
        service = self.widget.logic.service
        os.kill(worker_pid(service.log), signal.SIGKILL)
        self.waitUntil(lambda: self.session.state == "ready", 10.0)
        self.wait(0.1)
        self.assertEqual([error.code for error in self.errors], ["worker.died"])
        self.assertIn("worker ", self.errors[0].log)
        self.assertIn("worker ", self.ui.logText.plainText)
        self.assertIn(self.errors[0].message, self.ui.statusLabel.text)
        self.assertEqual((service.state, self.session.selectedLesion.state), ("failed", "failed"))
        self.assertEqual(self.ui.workerLabel.text, str(self.errors[0]))
        self.errors.clear()
        self.ui.stepsSpin.value = 2
        self.press(self.ui.generateButton)
        self.made()
        self.assertEqual((self.session.state, service.state), ("result", "ready"))

    def testLeavingTheModuleLetsTheRunGoOn(self) -> None:
        key = self.place()
        self.session.generate([key])
        self.widget.exit()
        self.made()
        self.widget.enter()
        self.assertEqual(self.session.state, "result")

    @needsHarness
    def testQuittingDuringARunLeavesNoProcessAndNoFile(self) -> None:
        self.begin()
        folder = self.widget.logic.files.folder
        self.assertTrue(folder.exists())
        self.assertTrue(qt_process._living)
        slicer.app.aboutToQuit.emit()
        self.assertFalse(qt_process._living)
        self.assertFalse(folder.exists())
        self.assertEqual(self.errors, [])


class ImportTest(WorkingCase):
    """Another scene is read into this one."""

    def written(self) -> Path:
        """A scene with a session of its own, and an empty one in its place."""
        self.keepOne(texture={"firstorder_Mean": 55.0})
        path = self.temporaryFolder() / "scene.mrb"
        writeScene(path)
        slicer.mrmlScene.Clear(0)
        self.wait(0.1)
        return path

    def testASceneWithASessionTakesThePlaceOfAResultThatWaits(self) -> None:
        path = self.written()
        self.scan = self.load(self.ct("Mine", seed=4))
        self.session.setSource(self.scan)
        key = self.place("left lung")
        self.session.generate([key])
        self.made()
        mine = self.own.outputVolume
        readScene(path, clear=False)
        self.wait(0.2)
        self.assertEqual(self.session.source.GetName(), "CT")
        self.assertEqual([lesion.state for lesion in self.session.lesions.all()], ["kept"])
        self.assertEqual((self.session.state, len(self.session.manifest)), ("ready", 1))
        self.assertIsNot(self.own.outputVolume, mine)
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")), 1)
        self.assertEqual(self.errors, [])
        array = slicer.util.arrayFromVolume(self.own.outputVolume)
        self.assertTrue((array != slicer.util.arrayFromVolume(self.session.source)).any())

    def testASceneWithoutASessionChangesNothing(self) -> None:
        self.session.generate([self.place()])
        self.made()
        shown = self.output()
        scene = slicer.vtkMRMLScene()
        scene.AddNewNodeByClass("vtkMRMLTextNode", "Note")
        path = self.temporaryFolder() / "scene.mrml"
        scene.SetURL(str(path))
        scene.Commit()
        readScene(path, clear=False)
        self.wait(0.2)
        self.assertEqual(self.session.state, "result")
        np.testing.assert_array_equal(self.output(), shown)
        self.press(self.ui.keepButton)
        self.assertEqual(self.errors, [])
