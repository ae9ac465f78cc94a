"""The panel's .ui file: rules that Qt Designer does not know."""

import ast
import re
import unittest
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import qt
import slicer
from slicer_api import widgetClasses
from slicer_case import SlicerCase

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "Resources" / "UI" / "TumorSynth.ui"
FIELDS = {
    "QComboBox",
    "QDoubleSpinBox",
    "QLineEdit",
    "QSpinBox",
    "ctkSliderWidget",
    "qMRMLNodeComboBox",
    "qMRMLSegmentSelectorWidget",
}
BUTTONS = {"QCheckBox", "QPushButton", "QRadioButton", "QToolButton"}
INTERACTIVE = FIELDS | BUTTONS | {"QPlainTextEdit", "QTableWidget", "ctkCollapsibleButton", "ctkCollapsibleGroupBox"}
FITTING = {
    "QCheckBox": {"bool"},
    "QPushButton": {"bool"},
    "QSpinBox": {"int"},
    "QSlider": {"int"},
    "QDoubleSpinBox": {"float", "int"},
    "ctkSliderWidget": {"float", "int"},
    "QLineEdit": {"str"},
}
"""Types of parameters that Slicer lets a widget follow; combo boxes need choices, and node boxes a class of nodes."""
UNITS = {"volumeSlider": "mL", "diameterSlider": "mm", "coreShareSlider": "%", "rimSlider": "%", "massEffectSlider": "%"}


class UiTest(unittest.TestCase):
    """Without Qt, on the file alone."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.tree = ElementTree.parse(FILE).getroot()
        cls.widgets = list(cls.tree.iter("widget"))
        cls.classes = widgetClasses(cls.tree)
        cls.top = cls.tree.find("widget")

    def text(self, widget: ElementTree.Element, name: str) -> str:
        """A property as text; empty where it is not set."""
        return next(("".join(item.itertext()).strip() for item in widget.findall("property") if item.get("name") == name), "")

    def named(self, *classes: str) -> list[ElementTree.Element]:
        """Widgets of some classes."""
        return [widget for widget in self.widgets if widget.get("class") in classes]

    def test_names_are_unique(self) -> None:
        names = Counter(item.get("name") for item in self.tree.iter() if item.tag in ("widget", "layout", "spacer"))
        self.assertEqual([name for name, count in names.items() if count > 1], [])

    def test_the_outermost_widget_hands_the_scene_on(self) -> None:
        self.assertEqual(self.top.get("class"), "qMRMLWidget")
        wired = set()
        for connection in self.tree.iter("connection"):
            ends = {part.tag: part.text for part in connection}
            if ends["signal"] == "mrmlSceneChanged(vtkMRMLScene*)" and ends["slot"] == "setMRMLScene(vtkMRMLScene*)":
                self.assertEqual(ends["sender"], self.top.get("name"))
                wired.add(ends["receiver"])
        needing = {name for name, class_ in self.classes.items() if class_.startswith(("qMRML", "qSlicer"))}
        self.assertEqual(wired, needing - {self.top.get("name")})

    def test_widgets_that_are_not_qts_are_declared(self) -> None:
        declared = {item.findtext("class"): item for item in self.tree.iter("customwidget")}
        used = {class_ for class_ in self.classes.values() if not class_.startswith("Q")}
        self.assertEqual(set(declared), used)
        holding = {widget.get("class") for widget in self.widgets if widget.find("layout") is not None}
        for class_ in holding & used:
            self.assertEqual(declared[class_].findtext("container"), "1", class_)

    def test_everything_that_can_be_clicked_explains_itself(self) -> None:
        interactive = [widget for widget in self.widgets if widget.get("class") in INTERACTIVE]
        self.assertEqual([widget.get("name") for widget in interactive if not self.text(widget, "toolTip")], [])

    def test_buttons_and_sections_say_what_they_are(self) -> None:
        titled = [(widget, "text") for widget in self.named(*BUTTONS, "ctkCollapsibleButton")]
        titled += [(widget, "title") for widget in self.named("ctkCollapsibleGroupBox", "QGroupBox")]
        self.assertEqual([widget.get("name") for widget, name in titled if not self.text(widget, name)], [])

    def test_every_field_has_a_label(self) -> None:
        labels = self.named("QLabel")
        buddies = {self.text(label, "buddy") for label in labels} - {""}
        self.assertEqual(sorted(buddies - set(self.classes)), [])
        silent = [label.get("name") for label in labels if self.text(label, "buddy") and not self.text(label, "text")]
        self.assertEqual(silent, [])
        knobs = {name.removesuffix("Check") + "Slider" for name in self.classes if name.endswith("Check")}
        fields = {widget.get("name") for widget in self.named(*FIELDS) if not self.text(widget, "accessibleName")}
        self.assertEqual(sorted(fields - buddies - knobs), [])

    def test_nothing_is_fixed_in_pixels(self) -> None:
        rigid = {"maximumSize", "maximumWidth", "maximumHeight", "baseSize"}
        inside = [widget for widget in self.widgets if widget is not self.top]
        found = [
            f"{widget.get('name')}: {item.get('name')}"
            for widget in inside
            for item in widget.findall("property")
            if item.get("name") in rigid | {"geometry"}
        ]
        self.assertEqual(found, [])

    def test_values_carry_their_units(self) -> None:
        for name, unit in UNITS.items():
            widget = next(widget for widget in self.widgets if widget.get("name") == name)
            self.assertIn(unit, self.text(widget, "suffix"), name)
        for label in self.named("QLabel", "QCheckBox"):
            text = self.text(label, "text")
            self.assertNotRegex(text, r"\((mm|mL|ml|HU|%)\)", "units belong to the value")

    def test_sliders_start_inside_their_range(self) -> None:
        for widget in self.named("ctkSliderWidget", "QSpinBox", "QDoubleSpinBox"):
            low, value, high = (self.text(widget, name) for name in ("minimum", "value", "maximum"))
            self.assertTrue(high, f"{widget.get('name')} has no range")
            self.assertTrue(float(low or 0) <= float(value or low or 0) <= float(high), widget.get("name"))

    def test_parameters_fit_their_widgets(self) -> None:
        parameters = annotations(ROOT / "TumorSynth" / "TumorSynthSlicer" / "parameters.py")
        for widget in self.widgets:
            name = self.text(widget, "SlicerParameterName")
            if not name:
                continue
            with self.subTest(name):
                self.assertIn(name, parameters)
                type_, rest = parameters[name]
                class_ = widget.get("class")
                if class_ == "QComboBox":
                    self.assertIn("Choice", rest)
                elif class_ == "qMRMLNodeComboBox":
                    self.assertTrue(type_.startswith("vtkMRML"))
                else:
                    self.assertIn(type_, FITTING.get(class_, set()), f"Slicer cannot connect {class_} to {type_}")


class PanelWidthTest(SlicerCase):
    """With Qt."""

    def test_large_letters_do_not_make_the_panel_wider_than_a_third_of_the_screen(self) -> None:
        widget = slicer.util.loadUI(str(FILE))
        letters = qt.QFont(widget.font)
        letters.setPointSizeF(widget.font.pointSizeF() * 1.5)
        widget.setFont(letters)
        slicer.app.processEvents()
        self.assertLess(widget.layout().totalMinimumSize().width(), 640)


def annotations(path: Path) -> dict[str, tuple[str, str]]:
    """Type and further annotations of every parameter, read without importing."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.AnnAssign):
            text = ast.unparse(node.annotation)
            inner = re.fullmatch(r"Annotated\[(\w+), (.*)\]", text)
            found[ast.unparse(node.target)] = (inner[1], inner[2]) if inner else (text, "")
    return found
