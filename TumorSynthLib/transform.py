"""``InsertTumord``: online synthesis as a MONAI dictionary transform, for anybody's training pipeline.

    Compose([LoadImaged(["image", "label"]), EnsureChannelFirstd(["image", "label"]),
             InsertTumord("image", "label", domain="soft-tissue-t1", prob=0.5), ScaleIntensityRanged(...), ...])

It goes before the intensities are changed, because it reads stored values (HU, SUV, the scanner's own). The networks are loaded
once in each process, when the first tumor is inserted, so that the transform itself stays small when it is sent to a
DataLoader's workers.
"""

from collections.abc import Hashable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config.type_definitions import NdarrayOrTensor
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform, RandomizableTransform
from monai.utils.enums import MetaKeys, SpaceKeys
from monai.utils.type_conversion import convert_to_dst_type

from TumorSynthLib.bundle import load_bundle
from TumorSynthLib.errors import GeometryError, ImageError
from TumorSynthLib.insertion import Inserted, Inserter, InsertionSettings
from TumorSynthLib.models import Models
from TumorSynthLib.volume import Geometry, Volume

_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


class InsertTumord(RandomizableTransform, MapTransform):
    """Insert a synthetic tumor into an image and its label.

    Where no tumor finds a place, image and label come back as they are.

    Parameters
    ----------
    image_key : of the image, channel first with one channel, stored values. The affine of a MetaTensor is respected; any other
        array is taken as 1 mm in RAS order.
    label_key : of the label on the same grid, one channel.
    domain : organ and modality, by its id in the bundle.
    prob : probability that a tumor is inserted.
    label_value : value of the tumor in the label; there are no new tumors where it is already.
    region_key : of a mask or label map that the tumor stays inside of, for example the label with the organ; None takes tissue
        well inside the body.
    region_label : value of the region in it.
    settings : wishes for shape and texture, and how to sample.
    bundle : name or folder of the bundle.
    device : ``cpu``, ``cuda`` and so on; in a DataLoader's workers ``cpu``, unless they are spawned.
    told_key : where the tumor is described (place, asked features, seed, changed box); None for nowhere. Empty where none was
        inserted.
    allow_missing_keys : let items without image or label pass.
    """

    def __init__(
        self,
        image_key: str = "image",
        label_key: str = "label",
        *,
        domain: str,
        prob: float = 0.5,
        label_value: int = 1,
        region_key: str | None = None,
        region_label: int = 1,
        settings: InsertionSettings | None = None,
        bundle: str | Path = "base",
        device: str = "cpu",
        told_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, (image_key, label_key), allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.image_key, self.label_key, self.told_key = image_key, label_key, told_key
        self.domain, self.label_value = domain, label_value
        self.region_key, self.region_label = region_key, region_label
        self.settings = settings or InsertionSettings()
        self.bundle, self.device = bundle, device
        self._seed = 0
        self._inserter: Inserter | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: everything but the networks."""
        return {**self.__dict__, "_inserter": None}

    def randomize(self, data: Any = None) -> None:
        """Draw whether there is a tumor, and the seed of everything about it."""
        super().randomize(None)
        self._seed = int(self.R.randint(2**31 - 1))

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, Any]:
        """The item with a tumor, or a shallow copy of it as it is.

        Raises
        ------
        ImageError : when image or label do not have one channel, or not the same grid.
        """
        item: dict[Hashable, Any] = dict(data)
        self.randomize()
        there = [key for key in self.key_iterator(data)]
        inserted = self._insert(item) if self._do_transform and len(there) == 2 else None
        if self.told_key is not None:
            item[self.told_key] = {} if inserted is None else _told(inserted)
        if inserted is None:
            return item
        image, label = item[self.image_key], item[self.label_key]
        item[self.image_key] = convert_to_dst_type(inserted.scan.array[None], image)[0]
        values = np.where(inserted.mask[None], self.label_value, _array(label))
        item[self.label_key] = convert_to_dst_type(values, label)[0]
        return item

    def _insert(self, item: Mapping[Hashable, Any]) -> Inserted | None:
        image, label = item[self.image_key], _array(item[self.label_key])
        array = _array(image)
        if array.ndim != 4 or array.shape[0] != 1 or label.shape != array.shape:
            message = f"The image has shape {array.shape}, the label {label.shape}; expected (1, i, j, k) for both."
            raise ImageError("transform.shape", message, "Use EnsureChannelFirstd, and one image at a time.")
        scan = Volume(array[0], Geometry(array[0].shape, _affine(image)))
        region = None if self.region_key is None else _array(item[self.region_key])[0] == self.region_label
        avoid = label[0] == self.label_value
        if self._inserter is None:
            self._inserter = Inserter(_models(self.bundle, self.device), self.domain, self.settings)
        try:
            return self._inserter.insert(scan, np.random.default_rng(self._seed), region, avoid)
        except GeometryError:
            return None


@cache
def _models(bundle: str | Path, device: str) -> Models:
    """The networks of a bundle, loaded once in a process."""
    return Models(load_bundle(bundle), device)


def _array(value: NdarrayOrTensor) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def _affine(image: NdarrayOrTensor) -> np.ndarray:
    """From voxels to RAS mm."""
    if not isinstance(image, MetaTensor):
        return np.eye(4)
    affine = image.affine.detach().cpu().numpy().astype(np.float64)
    return _FROM_LPS @ affine if image.meta.get(MetaKeys.SPACE) == SpaceKeys.LPS else affine


def _told(inserted: Inserted) -> dict[str, Any]:
    box = inserted.box
    return {**inserted.told, "box": [list(box.start), list(box.stop)], "voxels": int(inserted.mask.sum())}
