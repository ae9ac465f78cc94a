"""The whole module as its user has it: the panel in the application with errors remembered, and a real worker."""

from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer_case import SlicerCase

from TumorSynth import TumorSynthWidget
from TumorSynthLib.errors import TumorSynthError
from TumorSynthSlicer import commands
from TumorSynthSlicer.qt_process import killAll


class ModuleCase(SlicerCase):
    """The panel, with errors remembered."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(commands.save, commands.load())
        commands.save(commands.WorkerChoice())
        self.widget: Any = None
        self.addCleanup(self.close)

    def open(self) -> Any:
        """A panel that is looked at."""
        self.widget = TumorSynthWidget()
        self.errors: list[TumorSynthError] = []
        self.widget.session.failed.connect(self.errors.append)
        self.widget.enter()
        self.ui = self.widget.ui
        return self.widget

    def close(self) -> None:
        """The application ends."""
        if self.widget is not None:
            self.widget.cleanup()
            self.widget.parent.close()
            self.widget = None
            killAll()


class WorkingCase(ModuleCase):
    """With a real worker that has a tiny bundle, and a phantom that the views show when the panel is opened."""

    def setUp(self) -> None:
        super().setUp()
        commands.save(commands.WorkerChoice(command=self.workerCommand(), device="cpu", bundle=str(self.tinyBundle())))
        self.scan = self.load(self.ct())
        self.open()
        self.session = self.widget.session
        self.session.setDomain("soft-tissue-ct")

    def load(self, scan: Any) -> Any:
        """What the application does with a scan that was loaded: the views show it."""
        self.before = slicer.util.arrayFromVolume(scan).copy()
        slicer.app.applicationLogic().GetSelectionNode().SetActiveVolumeID(scan.GetID())
        return scan

    @property
    def own(self) -> Any:
        """The parameters as they are now; another scene has others."""
        return self.widget.parameters

    def place(self, where: str = "tissue", **asked: Any) -> str:
        """A lesion at a place of the phantom; its key."""
        key = self.session.addPoint(tuple(self.position(self.scan, where)))
        self.session.update(key, **{"shape": {"volume_ml": 2.0}, "seed": 3, **asked})
        self.wait(0.05)
        return key

    def made(self, seconds: float = 60.0) -> None:
        """Until the results are there, or an error."""
        self.waitUntil(lambda: self.session.state != "running", seconds)
        self.wait(0.05)
        self.assertEqual(self.errors, [])

    def keepOne(self, where: str = "tissue", **asked: Any) -> str:
        """A tumor that is made and kept; the lesion's key."""
        key = self.place(where, **asked)
        self.session.generate([key])
        self.made()
        self.session.keep()
        self.wait(0.05)
        return key

    def press(self, button: Any) -> None:
        """Press a button that can be pressed, and let the panel show what comes of it."""
        self.assertTrue(button.enabled, button.toolTip)
        button.click()
        self.wait(0.1)

    def output(self) -> np.ndarray:
        """A copy of the output volume's voxels."""
        return slicer.util.arrayFromVolume(self.own.outputVolume).copy()

    def temporary(self) -> list[Path]:
        """What the session has on disk."""
        folder = self.widget.logic.files.folder
        return sorted(folder.iterdir()) if folder.exists() else []
