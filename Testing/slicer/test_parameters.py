"""What the scene keeps of the panel: values, limits, and widgets that follow."""

import math
from typing import Annotated

import ctk
import qt
import slicer
from slicer.parameterNodeWrapper import Choice, Default, Maximum, Minimum, WithinRange, parameterNodeWrapper
from slicer_case import SlicerCase

from TumorSynthSlicer.parameters import TumorSynthParameterNode


@parameterNodeWrapper
class AllKinds:
    """One parameter of every type that the module may use."""

    text: str
    count: Annotated[int, WithinRange(1, 8), Default(2)]
    weight: Annotated[float, Minimum(0.0), Maximum(10.0), Default(1.5)]
    share: Annotated[float, WithinRange(0.0, 1.0), Default(0.25)]
    noise: bool
    kind: Annotated[str, Choice(["bridge", "flow"]), Default("flow")]
    volume: slicer.vtkMRMLScalarVolumeNode
    names: list[str]


class ParametersTest(SlicerCase):
    """The module's own parameters, and Slicer's rules for them."""

    def node(self) -> slicer.vtkMRMLScriptedModuleNode:
        """A node for parameters."""
        return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "Parameters")

    def test_a_new_panel_starts_with_the_defaults(self) -> None:
        parameters = self.parameters()
        self.assertEqual((parameters.domain, parameters.lesions, parameters.manifest), ("auto", "[]", "[]"))
        self.assertEqual(
            (parameters.method, parameters.steps, parameters.guidance, parameters.noise), ("bridge", 10, 1.5, True)
        )
        self.assertIsNone(parameters.source)
        self.assertEqual(parameters.regionSegmentId, "")

    def test_values_are_kept_in_the_node(self) -> None:
        node, volume = self.node(), self.ct()
        TumorSynthParameterNode(node).source = volume
        parameters = TumorSynthParameterNode(node)
        parameters.guidance, parameters.steps, parameters.noise = 2.5, 20, False
        self.assertEqual([node.GetParameter(name) for name in ("guidance", "steps", "noise")], ["2.5", "20", "False"])
        again = TumorSynthParameterNode(node)
        self.assertEqual((again.guidance, again.steps, again.noise), (2.5, 20, False))
        self.assertEqual((again.source, node.GetNodeReferenceID("source")), (volume, volume.GetID()))
        again.source = None
        self.assertIsNone(parameters.source)

    def test_a_node_that_leaves_the_scene_is_no_longer_there(self) -> None:
        parameters = self.parameters()
        parameters.source = self.ct()
        slicer.mrmlScene.RemoveNode(parameters.source)
        self.assertIsNone(parameters.source)

    def test_values_out_of_range_are_refused(self) -> None:
        parameters = AllKinds(self.node())
        for name, value in (("count", 9), ("count", 0), ("weight", -0.1), ("weight", 10.5), ("share", math.nan), ("kind", "x")):
            with self.subTest(name, value=value), self.assertRaises(ValueError):
                setattr(parameters, name, value)
        self.assertEqual((parameters.count, parameters.weight, parameters.share, parameters.kind), (2, 1.5, 0.25, "flow"))

    def test_values_of_other_types_are_refused(self) -> None:
        parameters = AllKinds(self.node())
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        for name, value in (("text", 3), ("count", 2.5), ("noise", 1), ("volume", segmentation), ("names", "abc")):
            with self.subTest(name), self.assertRaises(TypeError):
                setattr(parameters, name, value)

    def test_lists_are_kept(self) -> None:
        node = self.node()
        AllKinds(node).names = ["a, b", "it's"]
        self.assertEqual(list(AllKinds(node).names), ["a, b", "it's"])

    def test_changes_are_told_once(self) -> None:
        parameters, told = AllKinds(self.node()), []
        tag = parameters.AddObserver("ModifiedEvent", lambda caller, event: told.append(parameters.count))
        parameters.count = 5
        parameters.RemoveObserver(tag)
        parameters.count = 6
        self.assertEqual(told, [5])

    def gui(self) -> dict[str, object]:
        """A widget for each of some parameters."""
        box = slicer.qMRMLNodeComboBox()
        box.noneEnabled = True
        box.setMRMLScene(slicer.mrmlScene)
        widgets = {
            "text": qt.QLineEdit(),
            "count": qt.QSpinBox(),
            "weight": qt.QDoubleSpinBox(),
            "share": ctk.ctkSliderWidget(),
        }
        return {**widgets, "noise": qt.QCheckBox(), "kind": qt.QComboBox(), "volume": box}

    def test_widgets_and_parameters_follow_each_other(self) -> None:
        parameters, gui, volume = AllKinds(self.node()), self.gui(), self.ct()
        tag = parameters.connectParametersToGui(gui)
        self.assertEqual((gui["count"].value, gui["count"].minimum, gui["count"].maximum), (2, 1, 8))
        self.assertEqual((gui["share"].maximum, gui["kind"].currentText, gui["kind"].count), (1.0, "flow", 2))
        gui["text"].text, gui["count"].value, gui["share"].value, gui["noise"].checked = "abc", 7, 0.5, True
        gui["kind"].currentIndex = 0
        gui["volume"].setCurrentNode(volume)
        self.assertEqual((parameters.text, parameters.count, parameters.share, parameters.noise), ("abc", 7, 0.5, True))
        self.assertEqual((parameters.kind, parameters.volume), ("bridge", volume))
        parameters.count, parameters.volume, parameters.kind = 3, None, "flow"
        self.assertEqual((gui["count"].value, gui["volume"].currentNode(), gui["kind"].currentIndex), (3, None, 1))
        parameters.disconnectGui(tag)
        parameters.count = 4
        gui["text"].text = "left alone"
        self.assertEqual((gui["count"].value, parameters.text), (3, "abc"))

    def test_combo_boxes_need_choices(self) -> None:
        with self.assertRaises(RuntimeError):
            AllKinds(self.node()).connectParametersToGui({"text": qt.QComboBox()})
        with self.assertRaises(ValueError):
            AllKinds(self.node()).connectParametersToGui({"missing": qt.QLineEdit()})

    def test_widgets_say_which_parameter_is_theirs(self) -> None:
        parameters, top = AllKinds(self.node()), qt.QWidget()
        box = qt.QSpinBox(top)
        box.objectName = "countSpin"
        box.setProperty("SlicerParameterName", "count")
        parameters.connectGui(slicer.util.childWidgetVariables(top))
        box.value = 6
        self.assertEqual(parameters.count, 6)
