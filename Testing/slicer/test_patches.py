"""What edits change, and how they are taken back."""

from pathlib import Path

import numpy as np
import slicer
import slicer.util
import vtk
from slicer_case import SlicerCase
from slicer_results import writeResult

from TumorSynthLib.errors import TumorSynthError
from TumorSynthLib.result import read_result
from TumorSynthSlicer.grids import ijkToRas
from TumorSynthSlicer.history import Entry, History
from TumorSynthSlicer.nrrd_files import writeNrrd
from TumorSynthSlicer.patches import Patch, apply, patchFrom, revert
from TumorSynthSlicer.tasks import finished


class PatchTest(SlicerCase):
    """Voxels of a box."""

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.ct(leftHanded=True, oblique=True)
        self.before = slicer.util.arrayFromVolume(self.volume).copy()
        self.after = self.before.copy()
        self.after[10:14, 20:29, 30:33] += 100
        self.folder = self.temporaryFolder()

    def patch(self, changed: bool = True, base: Path | None = None) -> Patch:
        """The patch of a result."""
        folder = writeResult(self.folder / "r", self.volume, self.after, {}, changed)
        return finished(patchFrom(folder, read_result(folder), self.volume, base))

    def array(self) -> np.ndarray:
        """The voxels as they are."""
        return slicer.util.arrayFromVolume(self.volume)

    def code(self, function: object, *arguments: object) -> str:
        """The code of the error that a call ends with."""
        with self.assertRaises(TumorSynthError) as caught:
            function(*arguments)
        return caught.exception.code

    def testAPatchChangesItsBoxAndIsTakenBackBitForBit(self) -> None:
        for changed in (True, False):
            patch = self.patch(changed)
            self.assertEqual((patch.start, patch.box.stop), ((30, 20, 10), (33, 29, 14)))
            self.assertEqual(patch.bytes, 2 * 3 * 9 * 4 * 2)
            self.assertTrue(np.array_equal(self.array(), self.before))
            apply(self.volume, patch)
            self.assertTrue(np.array_equal(self.array(), self.after))
            revert(self.volume, patch)
            self.assertTrue(np.array_equal(self.array(), self.before))

    def testMinusZeroAndHalvesOfFloatsAreComparedBitForBit(self) -> None:
        self.volume = slicer.util.addVolumeFromArray(np.zeros((5, 6, 7), np.float32))
        self.after = np.zeros((5, 6, 7), np.float32)
        self.after[2, 3, 4] = -0.0
        patch = self.patch(changed=False)
        self.assertEqual((patch.start, patch.before.shape), ((4, 3, 2), (1, 1, 1)))
        apply(self.volume, patch)
        self.assertTrue(np.signbit(self.array()[2, 3, 4]))

    def testAResultThatChangedNothingIsAnEmptyPatch(self) -> None:
        self.after = self.before
        patch = self.patch(changed=False)
        apply(self.volume, patch)
        revert(self.volume, patch)
        self.assertEqual(patch.bytes, 0)

    def testTheBaseFileIsWhatItWasMadeFromWhateverIsShown(self) -> None:
        base = finished(writeNrrd(self.folder / "base.nrrd", self.before, ijkToRas(self.volume)))
        for changed in (True, False):
            folder = writeResult(self.folder / "r", self.volume, self.after, {}, changed)
            self.array()[10:14, 20:29, 30:33] = 7
            patch = finished(patchFrom(folder, read_result(folder), self.volume, base))
            self.assertTrue(np.array_equal(patch.before, self.before[10:14, 20:29, 30:33]))
            self.array()[...] = self.before

    def testOneEventTellsOfAChange(self) -> None:
        patch, told = self.patch(), []
        events = (vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent)
        for event in events:
            self.volume.AddObserver(event, lambda node, name: told.append(name))
        stamp = self.volume.GetImageData().GetMTime()
        apply(self.volume, patch)
        self.assertEqual(told.count("ModifiedEvent"), 1)
        self.assertEqual(len(told), 2, "the other one is that of the voxels")
        self.assertGreater(self.volume.GetImageData().GetMTime(), stamp)
        apply(self.volume, patch)
        self.assertEqual(len(told), 2, "what is there already changes nothing")

    def testVoxelsOfSomeoneElseAreNotOverwritten(self) -> None:
        patch = self.patch()
        self.array()[11, 21, 31] = 555
        self.assertEqual(self.code(apply, self.volume, patch), "patch.changed")
        self.assertEqual(self.array()[11, 21, 31], 555)
        apply(self.volume, patch, True)
        self.array()[11, 21, 31] = 555
        self.assertEqual(self.code(revert, self.volume, patch), "patch.changed")
        revert(self.volume, patch, True)
        self.assertTrue(np.array_equal(self.array(), self.before))

    def testChangesElsewhereStay(self) -> None:
        patch = self.patch()
        apply(self.volume, patch)
        self.array()[0, 0, 0] = 321
        revert(self.volume, patch)
        self.assertEqual(self.array()[0, 0, 0], 321)

    def testAResultOnAnotherGridOrOfAnotherTypeIsRefused(self) -> None:
        folder = writeResult(self.folder / "r", self.volume, self.after, {})
        result = read_result(folder)
        other = self.ct()
        self.assertEqual(self.code(lambda: finished(patchFrom(folder, result, other))), "result.grid")
        self.volume = slicer.util.addVolumeFromArray(self.before.astype(np.float32))
        self.volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.eye(4)))
        folder = writeResult(self.folder / "i", self.volume, self.after, {}, False)
        self.assertEqual(self.code(lambda: finished(patchFrom(folder, {}, self.volume))), "result.type")
        patch = Patch((0, 0, 0), self.before[:2, :2, :2], self.before[:2, :2, :2])
        self.assertEqual(self.code(apply, self.volume, patch), "result.type")
        patch = Patch((55, 0, 0), self.before[:2, :2, :2], self.before[:2, :2, :2])
        self.assertEqual(self.code(apply, self.volume, patch), "result.grid")

    def testABoxThatMakesNoSenseIsRefused(self) -> None:
        folder = writeResult(self.folder / "r", self.volume, self.after, {})
        for told in (
            {"start": [0, 0, 0], "stop": [99, 1, 1]},
            {"start": [0, 0]},
            [1, 2],
            {"start": [3, 3, 3], "stop": [1, 4, 4]},
        ):
            self.assertEqual(
                self.code(lambda told=told: finished(patchFrom(folder, {"changed": told}, self.volume))), "result.changed"
            )


class HistoryTest(SlicerCase):
    """Kept edits."""

    def setUp(self) -> None:
        super().setUp()
        self.value = 0
        self.forgotten, self.changes = [], []

    def history(self, most: int = 1000) -> History:
        """A history of a number in place of a volume."""

        def add(entry: Entry) -> None:
            self.value += entry.more

        def subtract(entry: Entry) -> None:
            self.value -= entry.more

        made = History(add, subtract, most)
        made.forgotten.connect(lambda entry: self.forgotten.append(entry.more))
        made.changed.connect(lambda: self.changes.append((made.canUndo, made.canRedo)))
        return made

    def keep(self, history: History, number: int) -> None:
        """Add a number, and keep that."""
        self.value += number
        voxels = np.zeros(50, np.uint8)
        history.keep(Entry(Patch((0, 0, 0), voxels, voxels), manifest={"edit": number}, more=number))

    def testUndoAndRedoGoThroughAllEdits(self) -> None:
        history = self.history()
        for number in (1, 10, 100):
            self.keep(history, number)
        self.assertEqual([told["edit"] for told in history.manifests], [1, 10, 100])
        self.assertEqual([history.undo().more for _ in range(3)], [100, 10, 1])
        self.assertEqual((self.value, history.undo(), history.canUndo, history.canRedo), (0, None, False, True))
        self.assertEqual([history.redo().more for _ in range(3)], [1, 10, 100])
        self.assertEqual((self.value, history.redo(), history.canUndo, history.canRedo), (111, None, True, False))
        self.assertEqual(self.changes[-4:], [(False, True), (True, True), (True, True), (True, False)])

    def testANewEditForgetsWhatWasUndone(self) -> None:
        history = self.history()
        self.keep(history, 1)
        self.keep(history, 10)
        history.undo()
        self.keep(history, 100)
        self.assertEqual((self.forgotten, history.canRedo, history.current.more), ([10], False, 100))
        self.assertEqual([told["edit"] for told in history.manifests], [1, 100])

    def testTheOldestEditsBecomePermanentWhenMemoryEnds(self) -> None:
        history = self.history(most=250)
        for number in (1, 10, 100, 1000):
            self.keep(history, number)
        self.assertEqual((history.bytes, self.forgotten), (200, [1, 10]))
        while history.undo():
            pass
        self.assertEqual((self.value, [told["edit"] for told in history.manifests]), (11, [1, 10]))

    def testOneLargeEditCanStillBeUndone(self) -> None:
        history = self.history(most=10)
        self.keep(history, 1)
        self.assertTrue(history.canUndo)

    def testAnUndoThatFailsLeavesTheHistoryAsItWas(self) -> None:
        def fail(entry: Entry) -> None:
            raise TumorSynthError("patch.changed", "Someone was here.")

        history = History(fail, fail)
        self.keep(history, 1)
        with self.assertRaises(TumorSynthError):
            history.undo()
        self.assertEqual((history.canUndo, history.canRedo), (True, False))
