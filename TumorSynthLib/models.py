"""The networks of a bundle on a device, loaded once and when first needed."""

from TumorSynthLib.bundle import Bundle, load_bundle
from TumorSynthLib.device import choose_device
from TumorSynthLib.placing import shape_model
from TumorSynthLib.texture import TextureModel


class Models:
    """What every edit needs that costs seconds to load.

    Parameters
    ----------
    bundle : a loaded bundle, or its name.
    device : ``auto``, ``cpu``, ``cuda`` and so on.
    """

    def __init__(self, bundle: Bundle | str = "base", device: str = "auto") -> None:
        self.bundle = load_bundle(bundle) if isinstance(bundle, str) else bundle
        self.device = choose_device(device)
        self.shapes = shape_model(self.bundle)
        self._texture: TextureModel | None = None

    @property
    def texture(self) -> TextureModel:
        """The texture networks."""
        if self._texture is None:
            self._texture = TextureModel(self.bundle, self.device)
        return self._texture
