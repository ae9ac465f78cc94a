"""Finds, in the sources of the module, uses of Qt and of the application that the application would not understand.

Types are followed as far as this takes: widgets of the .ui file by their names, what constructors return, assignments,
loops over tuples, and arguments of the module's own functions.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from slicer_api import MEMBERS, Api

Types = frozenset[str]
NOTHING: Types = frozenset()
SINGLETONS = {"slicer.app": "slicer_app", "slicer.util": "slicer_util", "slicer.packaging": "slicer_packaging"}
RESULTS = {
    ("slicer_app", "layoutManager"): "layoutManager",
    ("slicer_app", "settings"): "QSettings",
    ("slicer_app", "userSettings"): "QSettings",
    ("QTableWidget", "horizontalHeader"): "QHeaderView",
    ("QTableWidget", "verticalHeader"): "QHeaderView",
    ("QTableWidget", "item"): "QTableWidgetItem",
}
"""What methods return."""


@dataclass(frozen=True)
class Finding:
    """Something that the application would not understand."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class Project:
    """Several sources that call each other.

    Parameters
    ----------
    sources : text by file name.
    widgets : classes of the .ui file's widgets by their names.
    """

    def __init__(self, sources: Mapping[str, str], widgets: Mapping[str, str], api: Api) -> None:
        self.trees = {name: ast.parse(text) for name, text in sources.items()}
        self.widgets, self.api = widgets, api
        self.functions = _functions(self.trees.values())
        self.arguments: dict[str, dict[str, Types]] = defaultdict(lambda: defaultdict(lambda: NOTHING))
        """Types that parameters of the project's functions are called with, by function and parameter."""

    def findings(self) -> list[Finding]:
        """All of them. What is passed on from function to function is followed three times."""
        found: list[Finding] = []
        for _ in range(3):
            found = []
            for name, tree in self.trees.items():
                reader = Reader(name, self)
                reader.visit(tree)
                found += reader.found
        return sorted(set(found), key=lambda finding: (finding.file, finding.line, finding.message))


class Reader(ast.NodeVisitor):
    """Reads one file."""

    def __init__(self, file: str, project: Project) -> None:
        self.found: list[Finding] = []
        self._file, self._project, self._api = file, project, project.api
        self._known: dict[str, Types] = {}

    # ------------------------------------------------------------------ types
    def typesOf(self, node: ast.AST) -> Types:
        """Classes that an expression may be of, or nothing where that is not known."""
        text = ast.unparse(node)
        if text in SINGLETONS:
            return frozenset({SINGLETONS[text]})
        if isinstance(node, ast.Attribute) and isUi(node.value):
            return self._widget(node.attr)
        if isinstance(node, ast.Call):
            return self._result(node)
        return self._known.get(text, NOTHING)

    def _widget(self, name: str) -> Types:
        return frozenset({self._project.widgets[name]}) if name in self._project.widgets else NOTHING

    def _result(self, call: ast.Call) -> Types:
        text = ast.unparse(call.func)
        if text == "getattr" and isUi(call.args[0]):
            return self._widgetsLike(call.args[1])
        made = re.fullmatch(r"(?:qt|ctk|slicer)\.((?:Q|ctk|qMRML|qSlicer)\w*)", text)
        if made:
            return frozenset({made[1]})
        if isinstance(call.func, ast.Attribute):
            owners = self.typesOf(call.func.value)
            return frozenset(RESULTS[key] for owner in owners if (key := (owner, call.func.attr)) in RESULTS)
        return NOTHING

    def _widgetsLike(self, name: ast.expr) -> Types:
        """Classes of the widgets whose names fit an f-string."""
        if isinstance(name, ast.Constant):
            return self._widget(str(name.value))
        if not isinstance(name, ast.JoinedStr):
            return NOTHING
        parts = (re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"\w+" for part in name.values)
        pattern = re.compile("".join(parts))
        return frozenset(class_ for widget, class_ in self._project.widgets.items() if pattern.fullmatch(widget))

    def _learn(self, target: ast.AST, value: ast.AST) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, other in zip(target.elts, value.elts, strict=False):
                self._learn(one, other)
        elif isinstance(target, (ast.Name, ast.Attribute)) and not isUi(target):
            self._known[ast.unparse(target)] = self.typesOf(value)

    # ------------------------------------------------------------------ what is read
    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Names of a function are its own; those of ``self`` belong to the class."""
        outside = dict(self._known)
        for argument in (*node.args.args, *node.args.kwonlyargs):
            self._known[argument.arg] = self._project.arguments[node.name][argument.arg] | self._annotated(argument)
        self.generic_visit(node)
        mine = {text: types for text, types in self._known.items() if text.startswith("self.")}
        self._known = outside | mine

    def _annotated(self, argument: ast.arg) -> Types:
        text = ast.unparse(argument.annotation).strip("'\"") if argument.annotation else ""
        made = re.fullmatch(r"(?:qt|ctk|slicer)\.(\w+)", text)
        return frozenset({made[1]}) if made and self._api.knows(made[1]) else NOTHING

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """The constructor comes first, and calls of the class are calls of it."""
        outside = dict(self._known)
        self._known = {text: types for text, types in self._known.items() if not text.startswith("self.")}
        self._project.arguments["__init__"] = self._project.arguments[node.name]
        self.generic_visit(node)
        self._project.arguments.pop("__init__", None)
        self._known = outside

    def visit_Assign(self, node: ast.Assign) -> None:
        """What is assigned has the value's type."""
        self.generic_visit(node)
        for target in node.targets:
            self._learn(target, node.value)

    def visit_For(self, node: ast.For) -> None:
        """What runs over a tuple has the types of its parts."""
        if isinstance(node.iter, (ast.Tuple, ast.List)) and isinstance(node.target, ast.Name):
            types = [self.typesOf(part) for part in node.iter.elts]
            self._known[node.target.id] = frozenset().union(*types) if all(types) else NOTHING
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Methods of widgets, signals by their signatures, and functions of the project."""
        self._passOn(node)
        if isinstance(node.func, ast.Attribute):
            self._check(node.func, "call")
            if node.func.attr in ("connect", "disconnect") and node.args and isinstance(node.args[0], ast.Constant):
                self._checkSignal(node.func.value, str(node.args[0].value), node)
            self.visit(node.func.value)
        else:
            self.visit(node.func)
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.visit(argument)
        if node.keywords and re.match(r"(qt|ctk)\.\w+$", ast.unparse(node.func)):
            self._tell(node, f"{ast.unparse(node.func)} takes no keyword arguments")

    def _passOn(self, call: ast.Call) -> None:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        parameters = self._project.functions.get(name, ())
        for parameter, argument in zip(parameters, call.args, strict=False):
            self._project.arguments[name][parameter] |= self.typesOf(argument)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Properties that are read or set."""
        self._check(node, "set" if isinstance(node.ctx, ast.Store) else "read")
        self.visit(node.value)

    def _check(self, node: ast.Attribute, use: str) -> None:
        if isUi(node.value) and node.attr not in self._project.widgets and node.attr not in ("__dict__", "__class__"):
            self._tell(node, f"the .ui file has no widget {node.attr!r}")
        text = ast.unparse(node)
        named = re.fullmatch(r"(?:qt|ctk)\.(\w+)|slicer\.(q\w+)", text)
        if named and not self._api.exists(named[1] or named[2]):
            self._tell(node, f"there is no class {text}")
        inside = re.fullmatch(r"(?:qt|ctk|slicer)\.((?:Q|ctk|q)\w+)\.(\w+)", text)
        if inside:
            self._report(node, self._api.fault(inside[1], inside[2], "read"))
        for owner in sorted(self.typesOf(node.value)):
            self._report(node, self._api.fault(owner, node.attr, use))

    def _checkSignal(self, sender: ast.expr, signature: str, node: ast.AST) -> None:
        owners = [owner for owner in self.typesOf(sender) if self._api.knows(owner) and owner not in MEMBERS]
        for owner in owners:
            if not self._api.hasSignal(owner, signature):
                self._tell(node, f"{owner} has no signal {signature!r}")
        if not owners and not self._api.anySignal(signature):
            self._tell(node, f"nothing has a signal {signature!r}")

    def _report(self, node: ast.AST, fault: str) -> None:
        if fault:
            self._tell(node, fault)

    def _tell(self, node: Any, message: str) -> None:
        self.found.append(Finding(self._file, node.lineno, message))

    # ------------------------------------------------------------------ what is imported
    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Names from slicer.util and slicer.packaging."""
        owner = SINGLETONS.get(node.module or "")
        for name in node.names if owner else ():
            self._report(node, self._api.fault(str(owner), name.name, "read"))


def isUi(node: ast.AST) -> bool:
    """Whether an expression is the panel's widgets by name."""
    return isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node).split(".")[-1] in ("ui", "_ui")


def _functions(trees: Iterable[ast.Module]) -> dict[str, tuple[str, ...]]:
    """Parameters of functions and classes whose names occur only once."""
    found: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                makers = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
                found[node.name] += [tuple(argument.arg for argument in maker.args.args[1:]) for maker in makers]
            elif isinstance(node, ast.FunctionDef) and not node.name.startswith("__"):
                names = tuple(argument.arg for argument in node.args.args)
                found[node.name].append(names[1:] if names[:1] == ("self",) else names)
    return {name: parameters[0] for name, parameters in found.items() if len(parameters) == 1}
