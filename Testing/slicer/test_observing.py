"""Observers that let go of what they observe."""

import gc

import slicer
import vtk
from slicer_case import SlicerCase

from TumorSynthSlicer.observing import Observing

CHANGED = vtk.vtkCommand.ModifiedEvent


class ObservingTest(SlicerCase):
    """Nodes with an observer."""

    def setUp(self) -> None:
        super().setUp()
        self.watch, self.told = Observing(), []
        self.node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "One")

    def onChange(self, caller, event) -> None:
        """Remember it."""
        self.told.append("scene" if caller is slicer.mrmlScene else caller.GetName())

    def testAnEventIsToldOnceHoweverOftenItIsAskedFor(self) -> None:
        self.watch.addObserver(self.node, CHANGED, self.onChange)
        self.watch.addObserver(self.node, CHANGED, self.onChange)
        self.node.Modified()
        self.assertEqual(self.told, ["One"])
        self.assertTrue(self.watch.hasObserver(self.node, CHANGED, self.onChange))
        self.watch.removeObserver(self.node, CHANGED, self.onChange)
        self.watch.removeObserver(self.node, CHANGED, self.onChange)
        self.node.Modified()
        self.assertEqual((self.told, self.watch.hasObserver(self.node, CHANGED, self.onChange)), (["One"], False))

    def testAllAreRemovedAtOnce(self) -> None:
        self.watch.addObserver(self.node, CHANGED, self.onChange)
        self.watch.addObserver(slicer.mrmlScene, CHANGED, self.onChange)
        self.watch.removeObservers()
        self.node.Modified()
        slicer.mrmlScene.Modified()
        self.assertEqual(self.told, [])

    def isFreed(self, letGo) -> bool:
        """Whether the node's memory is free once somebody has let go of it and it was removed from the scene."""
        held = vtk.vtkWeakReference()
        held.Set(self.node)
        slicer.mrmlScene.RemoveNode(self.node)
        letGo()
        self.node = None
        gc.collect()
        return held.Get() is None

    def testWhatIsNoLongerObservedIsFreed(self) -> None:
        self.watch.addObserver(self.node, CHANGED, self.onChange)
        self.assertTrue(self.isFreed(lambda: self.watch.removeObserver(self.node, CHANGED, self.onChange)))

    def testRemovedNodesAreLetGoAndOthersAreNot(self) -> None:
        other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Two")
        for observed in (self.node, other, slicer.mrmlScene):
            self.watch.addObserver(observed, CHANGED, self.onChange)
        self.assertTrue(self.isFreed(self.watch.releaseRemoved))
        self.told.clear()
        other.Modified()
        self.assertEqual(self.told, ["Two"])
