"""The texts of the panel for translators, in Qt's .ts format. Run as a script, it writes the file.

Contexts are those that 3D Slicer looks texts up by: of a module its name, of a file in a package ``package.file``, of the .ui
file its class.
"""

import ast
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "Resources" / "Translations" / "TumorSynth_en-US.ts"


def texts() -> dict[str, list[str]]:
    """The texts by context, each once, in the order of their first use."""
    found: dict[str, dict[str, None]] = {}
    for path in sorted((ROOT / "TumorSynth").rglob("*.py")):
        for text in _of_code(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(_context(path), {})[text] = None
    for path in sorted((ROOT / "Resources" / "UI").glob("*.ui")):
        root = ElementTree.parse(path).getroot()
        for text in _of_form(root):
            found.setdefault(str(root.findtext("class")), {})[text] = None
    return {context: list(one) for context, one in found.items()}


def template() -> str:
    """The file's contents."""
    root = ElementTree.Element("TS", version="2.1", language="en_US", sourcelanguage="en_US")
    for context, sources in texts().items():
        element = ElementTree.SubElement(root, "context")
        ElementTree.SubElement(element, "name").text = context
        for source in sources:
            message = ElementTree.SubElement(element, "message")
            ElementTree.SubElement(message, "source").text = source
            ElementTree.SubElement(message, "translation", type="unfinished")
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _context(path: Path) -> str:
    packaged = (path.parent / "__init__.py").is_file()
    return f"{path.parent.name}.{path.stem}" if packaged else path.stem


def _of_code(tree: ast.AST) -> Iterator[str]:
    """First arguments of calls of ``_``.

    Raises
    ------
    ValueError : for one that is no text but computed, which no translator would see.
    """
    for node in ast.walk(tree):
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_"
        if called:
            if not isinstance(node.args[0], ast.Constant):
                raise ValueError(f"Line {node.lineno}: _({ast.unparse(node.args[0])}) is not a text; choose among texts.")
            yield str(node.args[0].value)


def _of_form(root: ElementTree.Element) -> Iterator[str]:
    """Texts of a form that are not marked as no text."""
    for element in root.iter("string"):
        if element.text and element.get("notr") != "true":
            yield element.text


if __name__ == "__main__":
    TEMPLATE.parent.mkdir(parents=True, exist_ok=True)
    TEMPLATE.write_text(template(), encoding="utf-8")
