"""The module TumorSynth of 3D Slicer: what the application loads. All else lies in the package TumorSynthSlicer."""

import importlib
import sys
import unittest
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest, ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from TumorSynthSlicer.paths import findLibrary, part

findLibrary()

from TumorSynthSlicer.console import TumorSynthLogic  # noqa: E402
from TumorSynthSlicer.console_wishes import Wishes  # noqa: E402

__all__ = ["TumorSynth", "TumorSynthLogic", "TumorSynthTest", "TumorSynthWidget", "Wishes"]

_PACKAGES = ("TumorSynthLib", "TumorSynthSlicer")
_VOLUME = "vtkMRMLScalarVolumeNode"


class TumorSynth(ScriptedLoadableModule):
    """What the module is called, and what goes on without its panel."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("TumorSynth")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Image Synthesis")]
        parent.dependencies = []
        parent.contributors = ["TumorSynth contributors"]
        parent.helpText = _(
            "Insert, change, remove, move and grow tumors in CT, MR and PET scans, steered by size, shape and texture.<br>"
            "<b>For research only.</b> Results are synthetic or edited images and are marked as such. "
            "They are not for clinical use, and must not be mixed with patients' images."
        )
        parent.acknowledgementText = _(
            "Tumors are made by a network that is conditioned on radiomics features: by a latent Brownian bridge, by "
            "diffusion, or by rectified flow. Features are those of PyRadiomics. The card of each model tells of its training "
            "data, its licence and its measured limits."
        )
        parent.icon = qt.QIcon(str(part("Resources/Icons/TumorSynth.png")))
        self.annotation: Any = None
        """Writes into the views that an image is synthetic, whether or not the panel is open."""
        slicer.app.connect("startupCompleted()", self.onStartup)

    def onStartup(self) -> None:
        """Offer the sample data, and mark synthetic images in the views."""
        from TumorSynthSlicer.annotation import SyntheticAnnotation
        from TumorSynthSlicer.sample_data import registerSampleData

        registerSampleData()
        if slicer.app.layoutManager() is not None:
            self.annotation = SyntheticAnnotation()
            self.annotation.start()
            slicer.app.connect("aboutToQuit()", self.annotation.stop)  # views must not outlive the application


class TumorSynthWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel in the application: it comes, follows the scene, and goes."""

    def __init__(self, parent: Any = None) -> None:
        VTKObservationMixin.__init__(self)
        self.panel: Any = None
        self.session: Any = None
        self.parameters: Any = None
        """The parameter node; None between two scenes."""
        self._guiTag: Any = None
        self._beforeImport: Any = None
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self) -> None:
        """Load the widgets and connect them with a session. Nothing is started or downloaded."""
        from TumorSynthSlicer.panel.panel import Panel
        from TumorSynthSlicer.review import Review
        from TumorSynthSlicer.session import Session

        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(str(part("Resources/UI/TumorSynth.ui")))
        self.layout.addWidget(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(widget)
        self.logic = TumorSynthLogic()
        self.session = Session(None, self.logic.service, self.logic.files, Review())
        self.panel = Panel(self.ui, self.session, self.logic.service)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        slicer.app.connect("aboutToQuit()", self.cleanup)
        self.setParameterNode(self.logic.getParameterNode())

    def enter(self) -> None:
        """The panel is looked at: take up the scan that the views show, where there is none yet."""
        if self.parameters is None:
            self.setParameterNode(self.logic.getParameterNode())
        if self.session.source is None:
            node = _scanInViews()
            if node is not None:
                self.session.setSource(node)

    def exit(self) -> None:
        """Another module is looked at: nothing blinks or waits for a click, but work goes on."""
        if self.panel is not None:
            self.panel.leave()

    def cleanup(self) -> None:
        """The module goes, or the application does: nothing is left running."""
        if self.panel is None:
            return
        panel, self.panel = self.panel, None
        slicer.app.disconnect("aboutToQuit()", self.cleanup)
        self.setParameterNode(None)
        self.removeObservers()
        panel.cleanup()
        self.session.close()
        self.logic.service.stop()
        self.logic.files.close()

    def setParameterNode(self, parameters: Any) -> None:
        """Let widgets and session follow another parameter node, or none."""
        if self.parameters is not None:
            self.parameters.disconnectGui(self._guiTag)
            self.removeObserver(self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParametersChanged)
        self.parameters = parameters
        if parameters is not None:
            self._guiTag = parameters.connectGui(self.ui)
            self.addObserver(parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParametersChanged)
        self.session.open(parameters)

    def onParametersChanged(self, caller: Any = None, event: Any = None) -> None:
        """Show what has changed."""
        self.session.onParameters()
        if self.panel is not None:
            self.panel.refreshSoon()

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """Let go of the scene before it is emptied."""
        self.setParameterNode(None)

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        """Take up the empty scene."""
        self.setParameterNode(self.logic.getParameterNode())

    def onSceneStartImport(self, caller: Any, event: Any) -> None:
        """Remember what the parameter node tells before a scene is read."""
        self._beforeImport = _saved(self.parameters)

    def onSceneEndImport(self, caller: Any, event: Any) -> None:
        """Take up what a scene has brought; results that wait are lost only where it brought another state of the panel."""
        parameters = self.logic.getParameterNode()
        if self.parameters is None or _saved(parameters) != self._beforeImport:
            self.setParameterNode(parameters)

    def onReload(self) -> None:
        """For developers: have the packages read again too."""
        for name in [name for name in sys.modules if name.partition(".")[0] in _PACKAGES]:
            del sys.modules[name]
        importlib.invalidate_caches()
        ScriptedLoadableModuleWidget.onReload(self)


class TumorSynthTest(ScriptedLoadableModuleTest):
    """For developers: all tests of the Slicer side, in the application."""

    def runTest(self) -> None:
        """Run them, one after the other; their results are in the Python console.

        Raises
        ------
        FileNotFoundError : where the extension was installed without its sources.
        AssertionError : when one of them fails.
        """
        folder = str(part("Testing/slicer"))
        suite = unittest.TestLoader().discover(folder, "test_*.py", top_level_dir=folder)
        result = unittest.TextTestRunner(stream=sys.stdout).run(suite)
        failed = len(result.failures) + len(result.errors)
        if failed:
            raise AssertionError(_("{failed} of {run} tests have failed.").format(failed=failed, run=result.testsRun))
        self.delayDisplay(_("All {run} tests have passed.").format(run=result.testsRun))


def _saved(parameters: Any) -> Any:
    """What of the panel is saved with a scene and would be seen in the session."""
    return None if parameters is None else (parameters.source, parameters.lesions, parameters.manifest)


def _scanInViews() -> Any:
    """The scalar volume that the slice views show, or None."""
    node = slicer.mrmlScene.GetNodeByID(slicer.app.applicationLogic().GetSelectionNode().GetActiveVolumeID() or "")
    return node if node is not None and node.GetClassName() == _VOLUME else None
