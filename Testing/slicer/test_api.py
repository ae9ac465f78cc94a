"""Nothing that the module, its .ui file or the harness uses is unknown to the real application."""

import ast
import inspect
import re
import sys
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import slicer_api
import source_rules
from slicer_api import Api, widgetClasses
from source_reader import Project

ROOT = Path(__file__).resolve().parents[2]
UI_FILE = ROOT / "Resources" / "UI" / "TumorSynth.ui"
VIRTUAL = {"paintEvent", "showEvent", "sizeHint", "minimumSizeHint"}
"""What stand-ins draw themselves with."""


@unittest.skipUnless(slicer_api.path().is_file(), f"no list of the application's classes at {slicer_api.path()}")
class ApiCase(unittest.TestCase):
    """Has the list."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.api = Api(slicer_api.path())
        cls.ui = ElementTree.parse(UI_FILE).getroot()


class ModuleTest(ApiCase):
    """The module's sources."""

    def findings(self, sources: dict[str, str]) -> list[str]:
        """What is wrong with some sources."""
        return [str(finding) for finding in Project(sources, widgetClasses(self.ui), self.api).findings()]

    def test_the_module_uses_only_what_the_application_has(self) -> None:
        files = sorted((ROOT / "TumorSynth").rglob("*.py"))
        sources = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}
        self.assertEqual(self.findings(sources), [])

    def test_misspelled_and_misused_names_are_found(self) -> None:
        for line, message in {
            "ui.statusLabel.txt = 'x'": "QLabel has no 'txt'",
            "ui.statusLabl.text = 'x'": "the .ui file has no widget 'statusLabl'",
            "ui.statusLabel.text()": "'text' of QLabel is a property, not a method",
            "ui.generateButton.click = 3": "'click' of QPushButton is no property and cannot be set",
            "ui.generateButton.connect('cliked(bool)', print)": "QPushButton has no signal 'cliked(bool)'",
            "ui.regionSelector.connect('segmentChanged()', f)": "qMRMLSegmentSelectorWidget has no signal 'segmentChanged()'",
            "ui.volumeSlider.setMinimum(3)": "ctkSliderWidget has no 'setMinimum'",
            "self._ui.volumeSlider.maximun = 3": "ctkSliderWidget has no 'maximun'",
            "timer = qt.QTimer(); timer.beginn()": "QTimer has no 'beginn'",
            "qt.QProcess.NotRuning": "QProcess has no 'NotRuning'",
            "qt.QLabelle('x')": "there is no class qt.QLabelle",
            "ctk.ctkSlider()": "there is no class ctk.ctkSlider",
            "qt.QLabel(text='x')": "qt.QLabel takes no keyword arguments",
            "slicer.qMRMLNodeBox()": "there is no class slicer.qMRMLNodeBox",
            "slicer.app.layoutManagr()": "slicer_app has no 'layoutManagr'",
            "slicer.app.layoutManager().setLayot(3)": "layoutManager has no 'setLayot'",
            "slicer.util.arrayOfVolume(n)": "slicer_util has no 'arrayOfVolume'",
            "from slicer.packaging import pip_ensur": "slicer_packaging has no 'pip_ensur'",
            "for b in (ui.keepButton, ui.undoButton): b.enabld = True": "QPushButton has no 'enabld'",
            "getattr(ui, f'{k}Slider').valu = 3": "ctkSliderWidget has no 'valu'",
            "other.connect('noSuchSignal()', print)": "nothing has a signal 'noSuchSignal()'",
        }.items():
            with self.subTest(line):
                self.assertEqual([text.split(": ", 1)[1] for text in self.findings({"fake.py": line})], [message])

    def test_arguments_of_the_modules_own_functions_are_followed(self) -> None:
        keep = "class Keep:\n def __init__(self, button):\n  self.b = button\n def go(self):\n  self.b.lable = 'x'\n"
        sources = {
            "keep.py": keep,
            "tables.py": "def fill(table):\n    table.rows = 3\n",
            "panel.py": "def make(ui):\n    fill(ui.variantTable)\n    Keep(ui.keepButton)\n",
        }
        wrong = ["keep.py:5: QPushButton has no 'lable'", "tables.py:2: QTableWidget has no 'rows'"]
        self.assertEqual(self.findings(sources), wrong)

    def test_what_is_right_is_not_reported(self) -> None:
        lines = (
            "ui.statusLabel.text = 'x'",
            "qt.QTimer.singleShot(0, f)",
            "ui.keepButton.connect('clicked(bool)', f)",
            "slicer.app.os",
        )
        self.assertEqual(self.findings({"fake.py": "\n".join(lines)}), [])


class RulesTest(unittest.TestCase):
    """What no list of names can tell."""

    def faults(self, text: str) -> list[str]:
        """What is wrong with a source."""
        return [message for _, _, message in source_rules.faults({"fake.py": ast.parse(text)})]

    def test_the_module_keeps_to_them(self) -> None:
        files = sorted((ROOT / "TumorSynth").rglob("*.py"))
        trees = {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in files}
        self.assertEqual(source_rules.faults(trees), [])

    def test_breaches_are_found(self) -> None:
        for text in (
            "threading.Thread(target=f).start()",
            "import subprocess\nsubprocess.Popen(['python'])",
            "class Filter(qt.QObject): pass",
            "class Box(slicer.qMRMLNodeComboBox): pass",
            "changed = qt.Signal()",
            "button.installEventFilter(self)",
            "ui.panel.findChild(qt.QLabel)",
            "button.connect('clicked(bool)', lambda mode=mode: f(mode))",
            "button.connect('clicked(bool)', partial(f, 1))",
            "timer.connect('timeout()', lambda value: f(value))",
            "def told(row, column): pass\ntable.connect('clicked(bool)', told)",
            "class A:\n def on(self, row, column): pass\n def do(self): self.t.connect('activated(int)', self.on)",
        ):
            with self.subTest(text):
                self.assertEqual(len(self.faults(text)), 1, self.faults(text))

    def test_what_is_right_is_not_reported(self) -> None:
        for text in (
            "button.connect('clicked(bool)', lambda checked, mode=mode: f(mode))",
            "button.connect('clicked(bool)', lambda: f())",
            "def told(row, column=0): pass\ntable.connect('activated(int)', told)",
            "signal.connect(partial(f, 1))",
            "slicer.util.findChildren(widget, className='QLabel')",
            "threading.get_ident()",
        ):
            with self.subTest(text):
                self.assertEqual(self.faults(text), [])


class UiFileTest(ApiCase):
    """The .ui file."""

    def test_every_widget_and_property_exists(self) -> None:
        wrong = []
        for widget in self.ui.iter("widget"):
            class_, name = widget.get("class"), widget.get("name")
            if not self.api.exists(class_):
                wrong.append(f"{name}: there is no class {class_}")
            elif self.api.knows(class_):
                # A label's buddy is none of its properties, but the loader knows it. Those with stdset="0" are dynamic.
                named = [
                    p.get("name") for p in widget.findall("property") if p.get("stdset") != "0" and p.get("name") != "buddy"
                ]
                wrong += [f"{name}: {class_} has no {p!r}" for p in named if not self.api.isProperty(class_, p)]
        self.assertEqual(wrong, [])

    def test_every_connection_exists(self) -> None:
        classes, wrong = widgetClasses(self.ui), []
        for connection in self.ui.iter("connection"):
            sender, signal, receiver, slot = (connection.findtext(tag) for tag in ("sender", "signal", "receiver", "slot"))
            if not self.api.hasSignal(classes[sender], signal):
                wrong.append(f"{sender} has no signal {signal}")
            if not self.api.hasSlot(classes[receiver], slot):
                wrong.append(f"{receiver} has no slot {slot}")
        self.assertEqual(wrong, [])


@unittest.skipUnless("harness" in sys.modules, "the application needs no stand-ins")
class StandInTest(ApiCase):
    """The harness offers nothing that the application does not have."""

    def test_widgets(self) -> None:
        from harness import ctk_widgets, mrml_widgets

        wrong = []
        for type_ in (*ctk_widgets.TYPES, *mrml_widgets.TYPES):
            self.assertTrue(self.api.exists(type_.__name__))
            wrong += [f"{type_.__name__} has no {name!r}" for name in self._own(type_) if self._unknown(type_, name)]
            signals = {text for base in type_.__mro__ for text in vars(base).get("SIGNALS", ())}
            wrong += [f"{type_.__name__} has no {text!r}" for text in signals if not self.api.hasSignal(type_.__name__, text)]
        self.assertEqual(wrong, [])

    def _own(self, type_: type) -> set[str]:
        """Public names that the stand-in defines itself, or inherits from another one."""
        bases = [base for base in type_.__mro__ if base.__module__.startswith("harness.")]
        names = {name for base in bases for name in vars(base) if not name.startswith("_")}
        return names - VIRTUAL - {"SIGNALS", "staticMetaObject", "TYPES"}

    def _unknown(self, type_: type, name: str) -> bool:
        from PySide6.QtCore import Property

        if isinstance(inspect.getattr_static(type_, name), Property):
            return not self.api.isProperty(type_.__name__, name)
        return not self.api.has(type_.__name__, name)

    def test_the_application_and_its_views(self) -> None:
        from harness.application import Application
        from harness.modules import load_requirements, packages
        from harness.views import LayoutManager

        for list_, type_ in (("slicer_app", Application), ("layoutManager", LayoutManager)):
            self.assertEqual([name for name in self._own(type_) if not self.api.has(list_, name)], [])
        for function in (packages.pip_check, packages.pip_ensure, packages.pip_install, load_requirements):
            self.assertTrue(self.api.has("slicer_packaging", function.__name__))


class SlicerClassesTest(unittest.TestCase):
    """Classes of nodes and logics, and enumerations of Qt, against what is running here."""

    def test_every_class_and_constant_exists(self) -> None:
        import qt
        import slicer

        wrong = []
        for path in sorted((ROOT / "TumorSynth").rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                text = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
                named = re.fullmatch(r"slicer\.(vtk\w+)(?:\.(\w+))?|qt\.(Qt)\.(\w+)", text)
                if named:
                    owner = getattr(slicer, named[1], None) if named[1] else qt.Qt
                    if owner is None or not hasattr(owner, named[2] or named[4] or "__name__"):
                        wrong.append(f"{path.name}:{node.lineno}: {text}")
        self.assertEqual(wrong, [])
