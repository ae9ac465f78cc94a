"""The card of a trained bundle, written from what the training knows of itself."""

from collections.abc import Mapping, Sequence
from typing import Any

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.dataset import TrainingData

UNKNOWN = "not stated in the training file"
"""Stands for the licence of images whose index names none."""


def licences(data: TrainingData) -> tuple[str, ...]:
    """The licences of the images, sorted; unnamed ones as ``UNKNOWN``."""
    return tuple(sorted({image.licence or UNKNOWN for image in data.images}))


def licence_of(data: TrainingData, base: Bundle | None = None) -> str:
    """What a bundle's licence says where nobody chose one: the terms of its training images, and of what it started from."""
    origin = [] if base is None else [f"bundle '{base.id}': {base.licence}"]
    return "; ".join([*origin, *(f"training data: {name}" for name in licences(data))])


def training_data_of(data: TrainingData) -> str:
    """One sentence on what a bundle was trained on."""
    patients = len({image.patient for image in data.images})
    return f"{len(data.images)} images of {patients} patients, {len(data.regions)} regions; see CARD.md."


def card_text(info: Mapping[str, str], data: TrainingData, training: Mapping[str, Any]) -> str:
    """``CARD.md`` of a bundle.

    Parameters
    ----------
    info : id, version, licence and intended_use.
    data : what it was trained on.
    training : ``training`` of ``bundle.json``.
    """
    parts = [
        f"# Bundle `{info['id']}`, version {info['version']}",
        f"{info['intended_use']} Licence: {info['licence']}.",
        "Written by the training program from what it knows; it does not replace an evaluation (`tumorsynth evaluate`).",
        _origin(training),
        "## Training\n\n" + _table(("Network", "Parameters", "Steps", "Validation score"), _networks(training)),
        "Scores are what the best weights are selected by, on held-out patients: codec, mean PSNR in dB; bridge, mean share of "
        "the harmonic fill's masked error that one step explains; shape generator, minus its standardized errors.",
        "## Data\n\n" + _table(("Domain", "Images", "Patients", "Regions"), _domains(data)),
        "Licences of the images:\n\n" + "\n".join(f"- {name}" for name in licences(data)),
        "Tumor shapes have licences of their own, which the training file does not know.",
        "## Limits\n\nResearch only, not for clinical use. Domains without images above borrow from others or are those of the "
        "bundle that training started from.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _origin(training: Mapping[str, Any]) -> str:
    base = training.get("fine_tuned_from")
    return f"Fine-tuned from bundle `{base['id']}` {base['version']} (sha256 {base['sha256']})." if base else ""


def _networks(training: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, entry in training["networks"].items():
        score = f"{entry['score']:.4g}" if "score" in entry else "nobody held out"
        told = score if entry["trained"] else "as in the base"
        rows.append((name, f"{entry['parameters'] / 1e6:.2f} M", str(entry["steps"]), told))
    return rows


def _domains(data: TrainingData) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name in sorted({image.domain.id for image in data.images}):
        images = [image for image in data.images if image.domain.id == name]
        regions = sum(data.images[region.image].domain.id == name for region in data.regions)
        rows.append((name, str(len(images)), str(len({image.patient for image in images})), str(regions)))
    return rows


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
