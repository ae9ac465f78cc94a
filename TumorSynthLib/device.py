"""The device that networks run on."""

import torch

from TumorSynthLib.errors import DeviceError


def choose_device(asked: str) -> str:
    """The device to run on.

    Raises
    ------
    DeviceError : when an asked device is not there; ``auto`` takes a GPU if there is one.
    """
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = asked.split(":")[0]
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    number = int(asked.split(":")[1]) if ":" in asked else 0
    if not there.get(kind, False) or (kind == "cuda" and number >= torch.cuda.device_count()):
        raise DeviceError("device.missing", f"The device {asked!r} is not available here.", "Use the device cpu, or auto.")
    return asked
