"""Settings of the trainings: for a small CPU run, for one GPU, and at the scale of Kim et al.; any value can be overridden."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from TumorSynthLib.configs import BridgeConfig, CodecConfig, DrawConfig, ShapeConfig, TrainConfig
from TumorSynthLib.errors import RequestError
from TumorSynthLib.methods import METHODS
from TumorSynthLib.processes.process import PRECONDITIONED
from TumorSynthLib.train.flow_loss import WEIGHTS

FINE_TUNING = 0.25
"""What the learning rate is multiplied by where training starts from a bundle."""
FINE_TUNING_WARMUP = 50
"""Longest warm-up there, in steps."""


@dataclass(frozen=True)
class CodecStage:
    """Training of the codec."""

    train: TrainConfig
    """The run."""
    network: CodecConfig = field(default_factory=CodecConfig)
    """The network."""
    decoder_only: bool = False
    """Whether the encoder stays as it is."""


@dataclass(frozen=True)
class ShapeStage:
    """Training of the shape generator."""

    train: TrainConfig
    """The run."""
    network: ShapeConfig = field(default_factory=ShapeConfig)
    """The network."""


@dataclass(frozen=True)
class BridgeStage:
    """Training of the bridge."""

    train: TrainConfig
    """The run."""
    network: BridgeConfig = field(default_factory=BridgeConfig)
    """The network."""
    draw: DrawConfig = field(default_factory=DrawConfig)
    """How regions are drawn."""
    crop: tuple[int, ...] = (48, 48, 48)
    """Voxels of the working grid that are trained on; the network is convolutional, and half the voxels cost half."""
    learns: tuple[str, ...] = METHODS
    """Methods that are trained, of those that the network has. Weights that the others use stay as they are, bit for bit: what
    a bundle does is not changed by a method that is added to it."""


Stage = CodecStage | ShapeStage | BridgeStage


@dataclass(frozen=True)
class Preset:
    """Settings that belong together."""

    name: str
    """Its name."""
    about: str
    """What it is for."""
    codec: CodecStage
    """Training of the codec."""
    shape: ShapeStage
    """Training of the shape generator."""
    bridge: BridgeStage
    """Training of the bridge."""
    minutes: float
    """Wall time of the three together."""
    shares: Mapping[str, float] = field(default_factory=lambda: {"codec": 0.25, "shape": 0.2, "bridge": 0.55})
    """Share of that time of each."""

    def stage(self, name: str) -> Stage:
        """The settings of ``codec``, ``shape`` or ``bridge``, with their share of the preset's time."""
        stages: dict[str, Stage] = {"codec": self.codec, "shape": self.shape, "bridge": self.bridge}
        stage = stages[name]
        return replace(stage, train=replace(stage.train, minutes=self.minutes * self.shares[name]))


_ADVERSARIAL = {"adversarial": 0.02, "adversarial_from": 0.8}
_FLOW = {f"flow_{name}": value for name, value in WEIGHTS.items()}
_F2 = CodecConfig(channels=(96,), patch=1)
_RECIPE = BridgeConfig(
    objective=PRECONDITIONED,
    diffusion_objective=PRECONDITIONED,
    flow_objective=PRECONDITIONED,
    leveled=True,
    mask_noise=1.0,
)
"""What turned out best for the shipped network (Testing/benchmarks/LOG.md). The defaults of ``BridgeConfig`` are what bundles
that do not say otherwise were trained with."""
_SHAPE = TrainConfig(0.0, 16, 1e-3, warmup=50, ema=0.995, validate_every=100, log_every=10)

CPU = Preset(
    "cpu",
    "one run on two CPU cores: the shipped networks, crops of 48 voxels",
    CodecStage(TrainConfig(0.0, 8, 4e-4, extra=_ADVERSARIAL)),
    ShapeStage(_SHAPE),
    BridgeStage(TrainConfig(0.0, 8, 4e-4, patience=5000, extra=_FLOW), _RECIPE),
    minutes=120.0,
)
GPU = Preset(
    "gpu",
    "one GPU: the shipped networks on the whole working grid, larger batches, more fresh regions",
    CodecStage(TrainConfig(0.0, 32, 4e-4, ema=0.9995, validate_every=1000, extra=_ADVERSARIAL)),
    ShapeStage(replace(_SHAPE, batch=64, validate_every=500, log_every=50)),
    BridgeStage(
        TrainConfig(0.0, 32, 4e-4, warmup=500, ema=0.9995, validate_every=1000, patience=20_000, extra=_FLOW),
        _RECIPE,
        DrawConfig(variants=8, renew=1.0, fresh=1.0, window=1024, memory_gb=16.0),
        crop=(64, 64, 64),
    ),
    minutes=480.0,
)
EARLY = replace(
    CPU,
    name="early",
    about="as cpu, with DiffTumor's early-stage model beside the bridge: diffusion that learns from tumors under 20 mm alone",
    bridge=replace(CPU.bridge, network=replace(_RECIPE, methods=("bridge", "diffusion")), draw=DrawConfig(largest_mm=20.0)),
)
PAPER = Preset(
    "paper",
    "the scale of Kim et al.: 4 GPUs under torchrun, f = 2, crops of 112x112x96 (latent 56x56x48), one sample per GPU, 1000 "
    "bridge steps in training and 200 in sampling (`--steps 200` of an edit)",
    CodecStage(TrainConfig(0.0, 8, 2e-4, ema=0.9995, validate_every=1000, extra=_ADVERSARIAL), _F2),
    ShapeStage(replace(_SHAPE, batch=16, validate_every=500, log_every=50)),
    BridgeStage(
        TrainConfig(0.0, 1, 1e-4, warmup=2000, ema=0.9999, validate_every=2000, accumulate=2, patience=40_000, extra=_FLOW),
        replace(
            _RECIPE,
            latent_channels=_F2.latent_channels,
            channels=(128, 256, 512),
            blocks=2,
            attention=(False, False, True),
            heads=8,
            steps=1000,
        ),
        DrawConfig(variants=8, renew=1.0, fresh=1.0, window=1024, memory_gb=64.0),
        crop=(112, 112, 96),
    ),
    minutes=5760.0,
)
PRESETS = {preset.name: preset for preset in (CPU, GPU, EARLY, PAPER)}
"""All presets by name."""


def named_preset(name: str) -> Preset:
    """The preset of that name.

    Raises
    ------
    RequestError : with the names that there are.
    """
    if name not in PRESETS:
        raise RequestError("preset.unknown", f"There is no preset {name!r}.", f"Choose {', '.join(PRESETS)}.")
    return PRESETS[name]


def fine_tuning(train: TrainConfig) -> TrainConfig:
    """Settings of a training that starts from a bundle: a lower rate and a short warm-up."""
    return replace(train, learning_rate=FINE_TUNING * train.learning_rate, warmup=min(train.warmup, FINE_TUNING_WARMUP))
