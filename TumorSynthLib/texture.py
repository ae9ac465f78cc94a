"""The texture model: codec, bridge and feature scales of a bundle, warm on one device."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.conditioning import feature_scores, filled_region, latent_masks, without_region
from TumorSynthLib.configs import BridgeConfig, CodecConfig, Domain, from_dict
from TumorSynthLib.memory import is_lack_of_memory, lack_of_memory
from TumorSynthLib.nets.codec import Codec
from TumorSynthLib.nets.unet import BridgeUNet, Condition
from TumorSynthLib.processes.bridge import BrownianBridge
from TumorSynthLib.sampler import Denoiser, guided, sample
from TumorSynthLib.scaling import FeatureScale, scales


@dataclass(frozen=True, eq=False)
class Task:
    """What to synthesize on the working grid."""

    v: np.ndarray
    """Network input, float32 (size, size, size)."""
    mask: np.ndarray
    """Region to change, bool, same shape."""
    domain: Domain
    """Organ and modality."""
    spacing: float
    """Working voxel in mm."""
    features: Mapping[str, float] | None
    """Asked texture features in domain values for a tumor (may be empty); None for healthy tissue."""


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
    """The published sampler instead of DBIM."""


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
        for net in (self.codec, self.network):
            net.to(self.device).eval().requires_grad_(False)
        self.config = self.network.config
        self.bridge = BrownianBridge(self.config.variance, self.config.objective)
        self.domains = [domain.id for domain in bundle.domains]
        self.removal_weights = {domain.id: bundle.removal_weight(domain.id) for domain in bundle.domains}
        self.scales: dict[str, dict[str, FeatureScale]] = {d.id: scales(bundle.statistics(d.id)) for d in bundle.domains}

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
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16):
                return self._synthesize(task, sampling, progress)
        except (RuntimeError, MemoryError) as error:
            if not is_lack_of_memory(error):
                raise
            raise lack_of_memory("sampling", self.device.type, len(sampling.seeds)) from error

    def _synthesize(self, task: Task, sampling: Sampling, progress: Callable[[float], None] | None) -> np.ndarray:
        v = torch.from_numpy(task.v)[None, None].to(self.device)
        mask = torch.from_numpy(task.mask)[None, None].to(self.device)
        hidden = filled_region(mask)
        filled = without_region(v, hidden)
        y = self.codec.encode(filled)
        soft, support = latent_masks(mask, hidden, self.codec.config.factor)
        count = len(sampling.seeds)
        condition = self._condition(task, soft.expand(count, -1, -1, -1, -1))
        y = y.expand(count, -1, -1, -1, -1)
        z = sample(
            self._denoiser(condition, sampling.guidance),
            self.bridge,
            y,
            support.expand(count, -1, -1, -1, -1),
            steps=sampling.steps,
            noise=_noise(sampling.seeds, y),
            ancestral=sampling.ancestral,
            progress=None if progress is None else lambda done: progress(done / sampling.steps),
        )
        decoded = torch.cat([self.codec.decode(one[None]) for one in z])
        if task.features is None:
            decoded = filled + decoded - self.codec.decode(y[:1])
        return decoded[:, 0].float().cpu().numpy()

    def filled(self, task: Task) -> np.ndarray:
        """Network input with the region and one voxel around it filled harmonically: what the bridge starts from."""
        v, mask = (torch.from_numpy(array)[None, None].to(self.device) for array in (task.v, task.mask))
        return without_region(v, filled_region(mask))[0, 0].cpu().numpy()

    def reconstruct(self, v: np.ndarray) -> np.ndarray:
        """Network input after encoding and decoding, the best that the codec allows; float32, same shape."""
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16):
            decoded = self.codec.decode(self.codec.encode(torch.from_numpy(v)[None, None].to(self.device)))
        return decoded[0, 0].float().cpu().numpy()

    def _condition(self, task: Task, soft: Tensor) -> Condition:
        count = soft.shape[0]
        values, present = feature_scores(task.features or {}, self.config.tokens, self.scales[task.domain.id])
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
        )

    def _denoiser(self, condition: Condition, guidance: float) -> Denoiser:
        def conditioned(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
            return self.bridge.estimate(self.network(x, y, t, condition), x, y)

        if not bool(condition.present.any()):
            return conditioned
        average = condition.without_features()

        def free(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
            return self.bridge.estimate(self.network(x, y, t, average), x, y)

        return guided(conditioned, free, guidance)


def _noise(seeds: Sequence[int], like: Tensor) -> Callable[[], Tensor]:
    """Standard normal noise with one generator per sample on the CPU, so that neither batch nor device changes it."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    shape = like.shape[1:]
    return lambda: torch.stack([torch.randn(shape, generator=g) for g in generators]).to(like.device)
