"""A lack of memory, recognized in whatever words it comes, and told with what helps (standard library only)."""

import errno

from TumorSynthLib.errors import DeviceError

_WORDS = (
    "allocate memory",  # torch on the CPU, the C library, and ITK
    "bad alloc",
    "bad_alloc",
    "can't start new thread",
    "could not create a primitive",  # oneDNN
    "not enough memory",
    "out of memory",
)


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory.

    >>> is_lack_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory")), is_lack_of_memory(RuntimeError("odd"))
    (True, False)
    """
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _WORDS)


def lack_of_memory(stage: str, device: str, candidates: int) -> DeviceError:
    """The error that tells what to ask for instead.

    The networks work on a grid of one size, so while they do, only candidates and the device matter. Everything else grows with
    the scan.

    Parameters
    ----------
    stage : of the run, when the memory ran out.
    device : where the networks run.
    candidates : that were asked for.
    """
    helps = []
    if stage in ("sampling", "compositing"):
        if candidates > 1:
            helps.append(f"Ask for fewer candidates ({candidates} were asked for).")
        if stage == "sampling" and device != "cpu":
            helps.append("Use the device cpu.")
    elif stage != "loading":
        helps.append("Crop the scan around the tumor, or resample it to a smaller grid.")
    helps.append("Or close other programs." if helps else "Close other programs, or use a computer with more memory.")
    return DeviceError("device.memory", f"The memory ran out in the stage '{stage}'.", " ".join(helps))
