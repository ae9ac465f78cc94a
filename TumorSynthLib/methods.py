"""The synthesis methods by name, and when to prefer each (standard library only)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """A way to make a tumor."""

    name: str
    """Name in requests."""
    source: str
    """What it is and who described it."""
    prefer: str
    """A sentence on when to prefer it."""


ALL = (
    Method(
        "bridge",
        "latent Brownian bridge (Kim et al.)",
        "Prefer it for everything: it starts from the tissue that is there, and heals tissue as well.",
    ),
    Method(
        "diffusion",
        "few-step diffusion in a mask (DiffTumor)",
        "Prefer it for many small, varied tumors as training data, with 4 steps and hand-made shapes.",
    ),
    Method(
        "flow",
        "rectified flow of tumor and mask (TumorGen)",
        "Prefer it when only a box is known, above all in PET: it makes shape and texture together, to fit each other.",
    ),
)
"""The order is that of the networks' method embedding."""
METHODS = tuple(method.name for method in ALL)
"""Their names."""
HEALING = "healing"
"""What takes a tumor away: the bridge's other path, which is no method of making one, but can be trained alone like one."""


def told() -> str:
    """All methods with their sentences, for a help text."""
    return " ".join(f"{method.name}: {method.source}. {method.prefer}" for method in ALL)
