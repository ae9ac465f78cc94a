"""One tree of errors. Each says what was found, what was expected, and what to do about it."""


class TumorSynthError(Exception):
    """Base of every error that a user may see.

    Parameters
    ----------
    code : short machine-readable name, for example ``"image.truncated"``.
    message : what was found and what was expected.
    hint : what the user can do; may be empty.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class RequestError(TumorSynthError):
    """The request is malformed or asks for something impossible."""


class ImageError(TumorSynthError):
    """An image or mask file is missing, broken or of a kind that cannot be used."""


class GeometryError(TumorSynthError):
    """Points, masks or grids do not fit together in physical space."""


class FeatureError(TumorSynthError):
    """A radiomics feature is unknown or cannot be measured."""


class BundleError(TumorSynthError):
    """A model bundle is missing, incomplete or does not match its checksums."""


class DeviceError(TumorSynthError):
    """The requested device is not available, or it ran out of memory."""


class OutputError(TumorSynthError):
    """A result cannot be written."""


class DataError(TumorSynthError):
    """A training or evaluation data set is missing or incomplete."""


class Cancelled(TumorSynthError):
    """The user cancelled the run."""

    def __init__(self) -> None:
        super().__init__("cancelled", "The run was cancelled.", "Nothing was written.")
