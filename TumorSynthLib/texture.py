"""The texture model: codec, network and feature scales of a bundle, warm on one device."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.conditioning import (
    box_leveled,
    feature_scores,
    filled_region,
    latent_masks,
    leveled,
    without_region,
    without_tumor,
)
from TumorSynthLib.configs import BridgeConfig, CodecConfig, Domain, RefinerConfig, from_dict
from TumorSynthLib.memory import is_lack_of_memory, lack_of_memory
from TumorSynthLib.methods import METHODS
from TumorSynthLib.nets.codec import Codec
from TumorSynthLib.nets.refiner import MaskRefiner
from TumorSynthLib.nets.unet import BridgeUNet, Condition, residual_sd
from TumorSynthLib.processes.process import Process
from TumorSynthLib.sampler import Denoiser, guided, processes, sample
from TumorSynthLib.scaling import FeatureScale, scales

Made = TypeVar("Made")
"""What is made on a device."""
TEMPERATURES = {"bridge": 0.8, "diffusion": 0.8, "flow": 1.0}
"""Standard deviation of the noise that samples of each method are drawn with.

At 1 a network that has learned from few tumors takes some of the noise for texture: its samples have up to twice the fine
detail of real tumors, seen through the codec.
"""


@dataclass(frozen=True, eq=False)
class Task:
    """What to synthesize on the working grid."""

    v: np.ndarray
    """Network input, float32 (size, size, size)."""
    mask: np.ndarray
    """Region to change, bool, same shape."""
    domain: Domain
    """Organ and modality; for a tumor those whose tumors it looks like."""
    spacing: float
    """Working voxel in mm."""
    features: Mapping[str, float] | None
    """Asked texture features in domain values for a tumor (may be empty; for ``flow`` also shape features); None for healthy
    tissue."""
    level: float | None = None
    """The asked mean as network input, for networks that start from it; None where none is asked or tissue is healed."""


@dataclass(frozen=True)
class Sampling:
    """How to sample."""

    steps: int = 10
    """Evaluations of the network; 1 gives the posterior mean."""
    guidance: float = 1.5
    """Weight of the features, 1 is none."""
    seeds: Sequence[int] = (0,)
    """One seed per sample."""
    ancestral: bool = False
    """The published sampler of the bridge instead of DBIM."""
    method: str = "bridge"
    """``bridge`` or ``diffusion``."""


class TextureModel:
    """Networks of a bundle on a device, loaded once.

    Parameters
    ----------
    bundle : loaded bundle.
    device : ``cpu``, ``cuda`` and so on; must be available.
    """

    def __init__(self, bundle: Bundle, device: str) -> None:
        self.device = torch.device(device)
        self.codec = Codec(from_dict(CodecConfig, bundle.network("codec")))
        self.codec.load_state_dict(bundle.weights("codec"))
        self.network = BridgeUNet(from_dict(BridgeConfig, bundle.network("bridge")))
        self.network.load_state_dict(bundle.weights("bridge"))
        self.refiner: MaskRefiner | None = None
        if "flow" in self.network.config.methods:
            self.refiner = MaskRefiner(from_dict(RefinerConfig, bundle.network("refiner")))
            self.refiner.load_state_dict(bundle.weights("refiner"))
            self.refiner.to(self.device).eval().requires_grad_(False)
        for net in (self.codec, self.network):
            net.to(self.device).eval().requires_grad_(False)
        self.config = self.network.config
        self.processes = processes(self.config)
        self.domains = [domain.id for domain in bundle.domains]
        self.removal_weights = {domain.id: bundle.removal_weight(domain.id) for domain in bundle.domains}
        self.scales: dict[str, dict[str, FeatureScale]] = {d.id: scales(bundle.statistics(d.id)) for d in bundle.domains}
        quantiles = zip(self.config.shape_tokens, self.config.shape_quantiles, strict=True)
        self.shape_scales = {name: FeatureScale(tuple(line)) for name, line in quantiles}

    def synthesize(self, task: Task, sampling: Sampling, progress: Callable[[float], None] | None = None) -> np.ndarray:
        """Network input with the region replaced, one volume per seed.

        Parameters
        ----------
        task : patch, region and what is asked.
        sampling : steps, guidance, seeds.
        progress : called with the share of steps done; may raise to cancel.

        Returns
        -------
        float32 (seeds, size, size, size). For a tumor it is the codec's reconstruction outside the region. For healthy
        tissue it is the harmonic fill plus what the network changes about it (decoded minus the decoded fill), so that the
        codec's own losses do not enter.

        Raises
        ------
        DeviceError : when the device runs out of memory.
        """
        return self._on_device(sampling, lambda: self._synthesize(task, sampling, progress))

    def joint(
        self, task: Task, sampling: Sampling, progress: Callable[[float], None] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tumors with masks of their own inside a box, one per seed, by the method ``flow``.

        Parameters
        ----------
        task : patch, box as its mask, and what is asked.
        sampling : steps, guidance, seeds.
        progress : called with the share of steps done; may raise to cancel.

        Returns
        -------
        Network input with the content of the box replaced, and the tumor's mask, 0 to 1 and 0 outside the box: float32
        (seeds, size, size, size) each.

        Raises
        ------
        DeviceError : when the device runs out of memory.
        """
        return self._on_device(sampling, lambda: self._joint(task, sampling, progress))

    def _on_device(self, sampling: Sampling, make: Callable[[], Made]) -> Made:
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16):
                return make()
        except (RuntimeError, MemoryError) as error:
            if not is_lack_of_memory(error):
                raise
            raise lack_of_memory("sampling", self.device.type, len(sampling.seeds)) from error

    def _synthesize(self, task: Task, sampling: Sampling, progress: Callable[[float], None] | None) -> np.ndarray:
        mask = self._tensor(task.mask)
        hidden = _hidden(task, mask)
        filled = without_region(self._tensor(task.v), hidden)
        if self.config.leveled and task.level is not None:
            filled = leveled(filled, mask, task.level)
        y = self.codec.encode(filled).float()
        soft, support = latent_masks(mask, hidden, self.codec.config.factor)
        z = self._sample(task, y, soft, support, sampling, progress)
        decoded = [self.codec.decode(one[None]) for one in z]
        if task.features is None:
            base = self.codec.decode(y)
            decoded = [filled + image - base for image in decoded]
        return _array(decoded)

    def _joint(self, task: Task, sampling: Sampling, progress: Callable[[float], None] | None) -> tuple[np.ndarray, np.ndarray]:
        box = self._tensor(task.mask)
        filled = without_region(self._tensor(task.v), box)
        if self.config.flow_leveled and task.level is not None:
            filled = box_leveled(filled, box, task.level)
        y = without_tumor(self.codec.encode(filled).float())
        soft, support = latent_masks(box, box, self.codec.config.factor)
        z = self._sample(task, y, soft, support, replace(sampling, method="flow"), progress)
        assert self.refiner is not None
        images, masks = [], []
        for one in z:
            features = self.codec.features(one[None, :-1])
            images.append(features[1])
            masks.append(self.refiner(features, one[None, -1:]).float().sigmoid() * box)
        return _array(images), _array(masks)

    def _sample(
        self,
        task: Task,
        y: Tensor,
        soft: Tensor,
        support: Tensor,
        sampling: Sampling,
        progress: Callable[[float], None] | None,
    ) -> Tensor:
        """A latent for each seed."""
        count = len(sampling.seeds)
        process = self.processes[sampling.method]
        condition = self._condition(task, soft.expand(count, -1, -1, -1, -1), sampling.method)
        y = y.expand(count, -1, -1, -1, -1)
        return sample(
            self._denoiser(process, condition, sampling.guidance),
            process,
            y,
            support.expand(count, -1, -1, -1, -1),
            steps=sampling.steps,
            noise=_noise(sampling.seeds, y, TEMPERATURES[sampling.method]),
            ancestral=sampling.ancestral,
            progress=None if progress is None else lambda done: progress(done / sampling.steps),
        )

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array)[None, None].to(self.device)

    def filled(self, task: Task) -> np.ndarray:
        """Network input with what is hidden filled harmonically: what the bridge starts from."""
        hidden = _hidden(task, self._tensor(task.mask))
        return without_region(self._tensor(task.v), hidden)[0, 0].cpu().numpy()

    def reconstruct(self, v: np.ndarray) -> np.ndarray:
        """Network input after encoding and decoding, the best that the codec allows; float32, same shape."""
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16):
            decoded = self.codec.decode(self.codec.encode(self._tensor(v)))
        return decoded[0, 0].float().cpu().numpy()

    def _condition(self, task: Task, soft: Tensor, method: str) -> Condition:
        count = soft.shape[0]
        known = {**self.scales[task.domain.id], **(self.shape_scales if method == "flow" else {})}
        values, present = feature_scores(task.features or {}, self.config.all_tokens, known)
        index = self.domains.index(task.domain.trained_as or task.domain.id)

        def rows(line: Sequence[float] | Sequence[bool]) -> Tensor:
            return torch.tensor(line, device=self.device).expand(count, -1)

        return Condition(
            soft,
            rows(values),
            rows(present),
            torch.full((count,), task.features is not None, device=self.device),
            torch.full((count,), index, dtype=torch.int64, device=self.device),
            torch.full((count,), task.spacing, device=self.device),
            METHODS.index(method),
        )

    def _denoiser(self, process: Process, condition: Condition, guidance: float) -> Denoiser:
        sd = residual_sd(self.config, condition)

        def conditioned(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
            return process.estimate(self.network(process.shown(x, y, t, sd), y, t, condition), x, y, t, sd)

        if not bool(condition.present.any()):
            return conditioned
        average = condition.without_features()

        def free(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
            return process.estimate(self.network(process.shown(x, y, t, sd), y, t, average), x, y, t, sd)

        return guided(conditioned, free, guidance)


def _hidden(task: Task, mask: Tensor) -> Tensor:
    """What the network does not see: for a tumor one voxel more than the region, for healthy tissue just that."""
    return mask if task.features is None else filled_region(mask)


def _array(images: Sequence[Tensor]) -> np.ndarray:
    """Volumes (1, 1, D, H, W) as one array, float32 (volumes, D, H, W)."""
    return torch.cat(list(images))[:, 0].float().cpu().numpy()


def _noise(seeds: Sequence[int], like: Tensor, temperature: float) -> Callable[[], Tensor]:
    """Normal noise with one generator per sample on the CPU, so that neither batch nor device changes it."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    shape = like.shape[1:]
    return lambda: temperature * torch.stack([torch.randn(shape, generator=g) for g in generators]).to(like.device)
