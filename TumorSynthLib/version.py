"""Which version this is, also where the library was copied and not installed, as inside 3D Slicer."""

VERSION = "0.1.0"
"""The same as in pyproject.toml."""
