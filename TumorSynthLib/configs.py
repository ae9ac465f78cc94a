"""Frozen configurations that travel with every bundle and result (standard library only)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

Config = TypeVar("Config")
"""Any of the dataclasses below."""

TEXTURE_TOKENS = (
    "firstorder_Mean",
    "firstorder_10Percentile",
    "firstorder_90Percentile",
    "firstorder_Variance",
    "firstorder_Skewness",
    "firstorder_Kurtosis",
    "firstorder_Entropy",
    "glcm_Contrast",
    "glcm_Correlation",
    "glcm_Idm",
    "glcm_JointEntropy",
    "glcm_ClusterShade",
    "glrlm_ShortRunEmphasis",
    "glrlm_RunEntropy",
    "glrlm_GrayLevelNonUniformityNormalized",
    "glszm_ZonePercentage",
    "glszm_SmallAreaEmphasis",
    "gldm_DependenceEntropy",
    "gldm_SmallDependenceEmphasis",
    "ngtdm_Coarseness",
    "ngtdm_Contrast",
    "ngtdm_Complexity",
)
"""Texture features that have a token of their own in the bridge. All others enter by candidates."""

SHAPE_TOKENS = ("shape_Sphericity", "shape_Elongation", "shape_Flatness", "shape_VoxelVolume")
"""PyRadiomics shape features that have a token in the shape generator."""

FILL_TOKEN = "fill"
"""Token for the tumor's volume over that of the ellipsoid with its axes; known where volume and all axes are."""


@dataclass(frozen=True)
class Normalization:
    """How stored values become domain values ``u`` (the values that features are measured on)."""

    kind: str
    """``identity`` (u = x) or ``percentile`` (u = 100 (x - p_low) / (p_high - p_low), percentiles of the foreground)."""
    low: float = 0.5
    """Lower percentile of the foreground."""
    high: float = 99.5
    """Upper percentile of the foreground."""

    @property
    def formula(self) -> str:
        """The formula in words, for the bundle."""
        if self.kind == "identity":
            return "u = x"
        return f"u = 100 * (x - P{self.low}) / (P{self.high} - P{self.low}); percentiles of the image's foreground"

    @property
    def scope(self) -> str:
        """Which voxels the parameters are taken from."""
        if self.kind == "identity":
            return "none"
        return "all voxels of the image, without the most frequent value where it fills at least 5 % of the image"


@dataclass(frozen=True)
class Domain:
    """An organ seen by a modality."""

    id: str
    """Name used in requests."""
    organ: str
    """Organ or body part."""
    modality: str
    """CT, MR-T1 and so on."""
    unit: str
    """Unit of domain values."""
    normalization: Normalization
    """From stored values to domain values."""
    center: float
    """Domain value that the networks see as 0."""
    scale: float
    """Domain units that the networks see as 1; beyond one scale the input grows with the logarithm (soft clip)."""
    bin_width: float
    """PyRadiomics bin width in domain units."""
    trained_as: str = ""
    """Domain whose embedding and statistics are used, where this one had no training images of its own."""

    @property
    def radiomics(self) -> dict[str, Any]:
        """Pinned PyRadiomics settings."""
        return {
            "binWidth": self.bin_width,
            "force2D": False,
            "distances": [1],
            "symmetricalGLCM": True,
            "weightingNorm": None,
            "gldm_a": 0,
            "voxelArrayShift": 0,
            "normalize": False,
            "resampledPixelSpacing": None,
            "interpolator": "sitkBSpline",
            "label": 1,
        }


_CT = Normalization("identity")
_SUV = Normalization("identity")
_MR = Normalization("percentile")
_PERCENT = "% of the scan's range"


def _mr(id: str, organ: str, modality: str) -> Domain:
    return Domain(id, organ, modality, _PERCENT, _MR, 50.0, 50.0, 2.0)


DOMAINS: tuple[Domain, ...] = (
    Domain("soft-tissue-ct", "soft tissue", "CT", "HU", _CT, 20.0, 180.0, 10.0),
    _mr("soft-tissue-t1", "soft tissue", "MR-T1"),
    Domain("soft-tissue-pet", "soft tissue", "PET-FDG", "SUV", _SUV, 2.0, 2.0, 0.25),
    Domain("lung-ct", "lung", "CT", "HU", _CT, -400.0, 600.0, 25.0),
    Domain("abdomen-ct", "abdomen", "CT", "HU", _CT, 20.0, 180.0, 10.0),
    _mr("brain-t1", "brain", "MR-T1"),
    _mr("brain-t1c", "brain", "MR-T1c"),
    _mr("brain-t2", "brain", "MR-T2"),
    _mr("brain-flair", "brain", "MR-FLAIR"),
    _mr("breast-dce", "breast", "MR-DCE"),
    Domain("head-neck-pet", "head and neck", "PET-FDG", "SUV", _SUV, 2.0, 2.0, 0.25, "soft-tissue-pet"),
)
"""Domains of the base bundle; the order is the order of the networks' domain embedding."""


def domain_from_dict(values: Mapping[str, Any]) -> Domain:
    """The inverse of ``dataclasses.asdict`` for a domain; unknown keys (statistics and the like) are ignored."""
    names = Domain.__dataclass_fields__
    known = {name: values[name] for name in names if name in values}
    norm = values["normalization"]
    known["normalization"] = Normalization(norm["kind"], norm.get("low", 0.5), norm.get("high", 99.5))
    return Domain(**known)


@dataclass(frozen=True)
class CodecConfig:
    """A VQ-GAN, or the same network without quantization."""

    channels: tuple[int, ...] = (48,)
    """Channels of each level; every level halves the resolution."""
    res_layers: int = 2
    """Residual layers per level."""
    code_channels: int = 4
    """Channels of the code that the encoder makes."""
    patch: int = 2
    """Edge of the blocks of code cells that are folded into channels of the latent."""
    quantize: bool = False
    """Whether codes are quantized before decoding, as Kim et al. do."""
    codes: int = 2048
    """Size of the codebook, where quantized."""
    code_mean: tuple[float, ...] = ()
    """Mean of each code channel on the training data."""
    code_std: tuple[float, ...] = ()
    """Standard deviation of each code channel on the training data."""

    @property
    def factor(self) -> int:
        """Voxels per latent cell along each axis."""
        return int(2 ** len(self.channels) * self.patch)

    @property
    def latent_channels(self) -> int:
        """Channels of the latent."""
        return int(self.code_channels * self.patch**3)


@dataclass(frozen=True)
class BridgeConfig:
    """The U-Net of the latent Brownian bridge, and the bridge itself; the other methods share the network."""

    latent_channels: int = 32
    """Channels of the latent."""
    channels: tuple[int, ...] = (48, 96, 128)
    """Channels of each level."""
    blocks: int = 1
    """Residual blocks per level on the way down; one more on the way up."""
    attention: tuple[bool, ...] = (False, True, True)
    """Levels with the Eq. 8 attention switch."""
    heads: int = 4
    """Attention heads."""
    token_width: int = 128
    """Width of a feature token."""
    tokens: tuple[str, ...] = TEXTURE_TOKENS
    """Texture features with a token."""
    domains: int = len(DOMAINS)
    """Rows of the domain embedding."""
    objective: str = "residual"
    """What the network predicts: ``grad`` (Eq. 6 of Kim et al.), ``residual`` (x0 - y), or ``preconditioned`` (what of it x_t
    does not tell)."""
    steps: int = 1000
    """Time steps of the bridge in training."""
    variance: float = 0.1
    """Scale s of the bridge variance, delta_t = 2 s (m_t - m_t^2): about the variance of x0 - y in standardized latents.
    (The published s = 1 would drown a soft-tissue tumor in noise ten times its own variance.)"""
    methods: tuple[str, ...] = ("bridge",)
    """Methods that the network was trained for."""
    shape_tokens: tuple[str, ...] = ()
    """Shape features with a token, for ``flow``, which makes the mask as well; they follow ``tokens``."""
    shape_quantiles: tuple[tuple[float, ...], ...] = ()
    """Scale of each of them, as quantiles over real tumors (see ``scaling``)."""
    diffusion_objective: str = "residual"
    """What the network predicts in ``diffusion``: ``epsilon``, ``v``, ``residual`` or ``preconditioned``."""
    flow_objective: str = "residual"
    """What the network predicts in ``flow``: ``velocity``, ``residual`` or ``preconditioned``."""
    mask_noise: float = 0.0
    """Width, in latent cells, of the Gaussian that smooths the noise which ``flow``'s mask starts from; 0: white, as published.
    See ``processes.flow``."""
    residual_sd: tuple[tuple[float, float], ...] = ()
    """Standard deviation of x0 - y in each domain, of healthy tissue and of tumors, for ``preconditioned``."""
    leveled: bool = False
    """Whether a tumor whose mean is known starts from a flat region of that mean, rather than from the fill; see
    ``conditioning.leveled``."""
    flow_leveled: bool = False
    """Whether ``flow`` is shown the mean that it is asked for in the middle of its box; see ``conditioning.box_leveled``."""
    healing_rank: int = 0
    """Rank of the change that healthy tissue has of its own in every convolution of the residual blocks; 0: none. See
    ``nets.unet.ResBlock``."""
    flow_rank: int = 0
    """The same for ``flow``."""

    @property
    def all_tokens(self) -> tuple[str, ...]:
        """Names of all tokens."""
        return (*self.tokens, *self.shape_tokens)

    @property
    def joint(self) -> bool:
        """Whether the network takes and makes the mask as one more channel."""
        return "flow" in self.methods


@dataclass(frozen=True)
class RefinerConfig:
    """The mask refiner of ``flow``."""

    features: int = 48
    """Channels of the decoder before its last step."""
    width: int = 16
    """Channels at half the resolution of the working grid; half as many at the full one."""


@dataclass(frozen=True)
class ShapeConfig:
    """The shape generator."""

    grid: int = 32
    """Voxels along each edge of the canonical field."""
    half_width: float = 1.75
    """Half the edge of the canonical cube, in radii of the whitened tumor; holds all but 0.1 % of real tumors whole."""
    noise: int = 96
    """Length of the noise vector."""
    channels: tuple[int, ...] = (128, 64, 24)
    """Channels at grid / 8, grid / 4 and grid / 2."""
    token_width: int = 64
    """Width of a feature token."""
    heads: int = 4
    """Attention heads at grid / 4."""
    organs: tuple[str, ...] = ("kidney", "kidney-cyst", "lung", "brain-core", "brain-whole")
    """Organs with a token."""
    tokens: tuple[str, ...] = (*SHAPE_TOKENS, FILL_TOKEN)
    """Shape features with a token."""


@dataclass(frozen=True)
class WorkConfig:
    """The working grid."""

    size: int = 64
    """Voxels along each edge."""
    min_spacing: float = 0.75
    """Finest working voxel in mm."""
    max_spacing: float = 4.0
    """Coarsest working voxel in mm without a warning."""
    margin: float = 0.16
    """Healthy surroundings on each side, as a share of the grid's edge."""


def to_dict(config: Any) -> dict[str, Any]:
    """A JSON-ready dictionary of a config."""
    return {key: _nested(value, list) for key, value in asdict(config).items()}


def from_dict(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """A config of the given class from its JSON; the inverse of ``to_dict``."""
    return kind(**{key: _nested(value, tuple) for key, value in values.items()})


def _nested(value: Any, kind: type) -> Any:
    """Sequences, and sequences in them, as lists or as tuples."""
    return kind(_nested(item, kind) for item in value) if isinstance(value, (list, tuple)) else value


@dataclass(frozen=True)
class TrainConfig:
    """What every trainer takes."""

    minutes: float
    """Wall time after which training stops with a checkpoint; infinite where steps alone count."""
    batch: int
    """Samples per process and part of a step."""
    learning_rate: float
    """Peak learning rate of AdamW."""
    warmup: int = 200
    """Steps of linear warm-up."""
    ema: float = 0.999
    """Decay of the weights' moving average."""
    seed: int = 0
    """Seed of initialization, order and noise."""
    validate_every: int = 250
    """Steps between validations on held-out patients, each with a checkpoint."""
    extra: dict[str, float] = field(default_factory=dict)
    """Weights of the trainer's own loss terms."""
    steps: int = 0
    """Step at which training ends, and which the learning rate falls towards; 0: both follow the time."""
    accumulate: int = 1
    """Parts of a step whose gradients are added up before the weights move."""
    precision: str = "bf16"
    """``bf16`` (autocast) or ``fp32``."""
    patience: int = 0
    """Steps without a better validation after which training ends; 0: never."""
    log_every: int = 25
    """Steps between lines of the log."""


@dataclass(frozen=True)
class DrawConfig:
    """How regions are drawn for the bridge, beyond those of the training file as they are."""

    variants: int = 4
    """Most crops and flips of each prepared region that are in use at a time; 0: one fixed crop without further flips."""
    renew: float = 0.5
    """Prepared regions that get another crop and other flips, per step; the first ones of a region go when it has too many."""
    fresh: float = 0.5
    """Healthy regions that are newly drawn from the scans, per step; 0: none."""
    window: int = 256
    """Newly drawn healthy regions that are in use at a time."""
    share: float = 0.75
    """Share of the healthy samples that are newly drawn ones."""
    largest_mm: float = 0.0
    """Largest equivalent diameter of the tumors that ``diffusion`` learns from, in mm; larger ones are background to it, as in
    DiffTumor's early-stage model. 0: all."""
    binary: bool = False
    """Whether ``flow`` learns a binary mask on the latent grid, as TumorGen does, rather than a soft one."""
    memory_gb: float = 2.0
    """Encodings kept in memory, per process; which are kept changes the time, never the result."""
