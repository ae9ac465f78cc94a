"""What the application's Python must not do, or does otherwise than PySide6, where no list of names tells it."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

Fault = tuple[str, int, str]
"""File, line, message."""
BANNED = {
    r"threading\.(Thread|Timer)|(concurrent|multiprocessing|asyncio)\.\w+": "threads stand still while Slicer is idle",
    r"subprocess\.Popen": "a process without events; use QtWorkerProcess",
    r"qt\.(Signal|Slot|Property)": "PythonQt and PySide6 mean different things by it",
    r".*\.installEventFilter": "PythonQt calls filters of Python only in part",
    r".*\.findChild(ren)?": "types are given otherwise than in PySide6; use slicer.util.findChildren",
}
"""Patterns of what must not be used, and why."""
_QT_CLASS = re.compile(r"(qt|ctk)\.\w+|slicer\.q\w+")


def faults(trees: Mapping[str, ast.Module]) -> list[Fault]:
    """All of them, by file and line."""
    needs = _needs(trees.values())
    found: list[Fault] = []
    for file, tree in trees.items():
        for node in ast.walk(tree):
            found += [(file, node.lineno, message) for message in _faultsOf(node, needs)]
    return sorted(set(found))


def _faultsOf(node: ast.AST, needs: Mapping[str, int]) -> Iterator[str]:
    if isinstance(node, ast.Attribute):
        text = ast.unparse(node)
        owner = "" if text.startswith(("slicer.util.", "qt.", "threading.")) else text
        for pattern, why in BANNED.items():
            if re.fullmatch(pattern, owner if pattern.startswith(".*") else text):
                yield f"{text}: {why}"
    elif isinstance(node, ast.ClassDef):
        yield from (f"{node.name} derives from {ast.unparse(base)}" for base in node.bases if _isQt(base))
    elif isinstance(node, ast.Call):
        yield from _faultsOfCall(node, needs)


def _isQt(base: ast.expr) -> bool:
    return _QT_CLASS.fullmatch(ast.unparse(base)) is not None


def _faultsOfCall(call: ast.Call, needs: Mapping[str, int]) -> Iterator[str]:
    """``sender.connect("signal(types)", function)``: PythonQt passes as many values as the function has parameters."""
    if not (isinstance(call.func, ast.Attribute) and call.func.attr == "connect" and len(call.args) == 2):
        return
    signal, target = call.args
    if not (isinstance(signal, ast.Constant) and isinstance(signal.value, str)):
        return
    types = signal.value.partition("(")[2].rstrip(")")
    given = len(types.split(",")) if types else 0
    if isinstance(target, ast.Lambda):
        arguments = target.args.args
        kept = arguments[len(arguments) - len(target.args.defaults) :] if target.args.defaults else []
        if any(argument in kept for argument in arguments[:given]):
            yield f"{signal.value} would take the place of a default of the lambda"
        if len(arguments) - len(kept) > given:
            yield f"{signal.value} has fewer values than the lambda takes"
    elif isinstance(target, ast.Call):
        yield f"{signal.value} is connected to what a call returns, which would get all of its values"
    else:
        name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
        if needs.get(name, 0) > given:
            yield f"{signal.value} has fewer values than {name} takes"


def _needs(trees: Iterable[ast.Module]) -> dict[str, int]:
    """Parameters that functions and methods cannot do without, by names that occur only once."""
    found: dict[str, list[int]] = defaultdict(list)
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                names = [argument.arg for argument in node.args.args]
                found[node.name].append(len(names) - len(node.args.defaults) - (names[:1] == ["self"]))
    return {name: counts[0] for name, counts in found.items() if len(counts) == 1}
