"""Train the latent Brownian bridge on tumors, on parts of tumors, and on healthy regions with and without their features.

The other methods, where ``network.methods`` names them, share its network: diffusion learns from the same regions, and the
rectified flow from whole tumors and regions with a changed look, each in its box.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import BridgeConfig, from_dict
from TumorSynthLib.dataset import CHANGED, HEALTHY, TUMOR, TrainingData, load_training_data
from TumorSynthLib.errors import DataError, RequestError
from TumorSynthLib.methods import HEALING, METHODS
from TumorSynthLib.nets.codec import Codec
from TumorSynthLib.processes.process import PRECONDITIONED, RESIDUAL
from TumorSynthLib.sampler import processes
from TumorSynthLib.shape_field import BALL_VOLUME
from TumorSynthLib.train.bridge_trainer import BridgeTrainer
from TumorSynthLib.train.bridge_validation import Validation
from TumorSynthLib.train.checkpoints import load_checkpoint
from TumorSynthLib.train.codec import bundle_codec, fingerprint, load_codec
from TumorSynthLib.train.common import is_validation
from TumorSynthLib.train.conditions import Conditions, region_weights
from TumorSynthLib.train.draws import RegionDraws
from TumorSynthLib.train.feature_scales import Scales, bundle_scales, restored_scales
from TumorSynthLib.train.fresh import fresh_regions, says_where_tumors_are
from TumorSynthLib.train.journal import Say, silent
from TumorSynthLib.train.latents import Hides, LatentCache
from TumorSynthLib.train.loop import Loop
from TumorSynthLib.train.presets import BridgeStage
from TumorSynthLib.train.residuals import with_residual_sd
from TumorSynthLib.train.shape_tokens import shape_tokens
from TumorSynthLib.train.team import Team
from TumorSynthLib.train.wider import wide_enough


def train_bridge(
    data: Path,
    codec: Path | None,
    out: Path,
    stage: BridgeStage,
    team: Team,
    init: Bundle | None = None,
    say: Say = silent,
    whole: bool = False,
) -> Path:
    """Train in a folder, or go on with the training there.

    Parameters
    ----------
    data : training file of ``prepare``, with regions.
    codec : folder of the codec's training; None takes the bundle's.
    out : folder of checkpoints and log.
    stage : settings; the network of a checkpoint or bundle wins over theirs.
    team : the processes that train together.
    init : bundle whose weights and feature scales are the start.
    say, whole : as ``Loop``.

    Returns
    -------
    The folder.

    Raises
    ------
    DataError : when the data have no regions or are too small for the crop, or when there is no codec or another one.
    """
    content = wide_enough(load_training_data(data), stage.crop)
    network = _codec(codec, init, team.device)
    config, base, scales = _start(content, stage, out, init, network, say if team.leads else silent)
    check_methods(config)
    check_learns(config, stage.learns)
    check_crop(content, stage, config, network)
    config, shapes = shape_tokens(content, config)
    conditions, healing = Conditions(content, config.tokens, scales, shapes), stage.learns == (HEALING,)
    held = np.array([is_validation(content.images[region.image].patient) for region in content.regions])
    chosen = np.flatnonzero(~held) if not held.all() else np.arange(len(held))
    weights = region_weights(conditions.kind, conditions.domain, chosen)
    if healing:
        weights = _some(np.where(conditions.kind == HEALTHY, weights, 0.0), "healthy regions, which healing learns from")
    fresh = None
    if stage.draw.fresh > 0.0:
        # What is healed is not asked for by its features.
        tokens = () if healing else config.tokens
        fresh = fresh_regions(data, content, tokens, stage.train.seed, 2 * stage.draw.window)
        if team.leads and not says_where_tumors_are(content.images):
            say("This training file does not say where all tumors are; prepare it again, lest one be taken for healthy tissue.")
    draw, precision = stage.draw, stage.train.precision
    cache, held_cache = (
        LatentCache(network, team.device, precision, stage.crop, gb, draw.binary) for gb in (draw.memory_gb, 1.0)
    )
    config = with_residual_sd(config, content, conditions, chosen, held_cache)
    validation = Validation(content, conditions, np.flatnonzero(held), held_cache, config, healing)
    regions = RegionDraws(content, conditions, weights, draw, fresh)
    methods = () if healing else config.methods
    draws = dict.fromkeys(("bridge", *methods), regions)
    if "diffusion" in methods and draw.largest_mm > 0.0:
        small = equivalent_diameters(content) <= draw.largest_mm
        what = f"tumors of at most {draw.largest_mm:g} mm, which the method 'diffusion' is to learn from"
        early = _some(np.where(small & (conditions.kind != HEALTHY), weights, 0.0), what)
        draws["diffusion"] = RegionDraws(content, conditions, early, draw, None)
    if "flow" in methods:
        boxed = _some(boxed_weights(conditions.kind, weights), "whole tumors, which the method 'flow' learns from")
        draws["flow"] = RegionDraws(content, conditions, boxed, draw, None, Hides.BOX)
    trainer = BridgeTrainer(draws, cache, validation, config, stage.train, team, base, stage.learns)
    Loop(trainer, out, team, say, whole).run()
    return out


def check_methods(config: BridgeConfig) -> None:
    """Whether the methods and their objectives are known, the bridge, which heals, is the first, and the rank is possible.

    Raises
    ------
    RequestError : when they are not.
    """
    if (
        config.methods[:1] != ("bridge",)
        or len(set(config.methods)) < len(config.methods)
        or not {*config.methods} <= {*METHODS}
    ):
        message = f"network.methods is {','.join(config.methods)}."
        raise RequestError("train.methods", message, f"Start with bridge, and add any of {', '.join(METHODS[1:])}, each once.")
    for name, rank in (("healing_rank", config.healing_rank), ("flow_rank", config.flow_rank)):
        if rank < 0:
            raise RequestError("train.rank", f"network.{name} is {rank}.", "Choose 0 for none, or 8, say.")
    for method, process in processes(config).items():
        known = (*process.published, RESIDUAL, PRECONDITIONED)
        if process.objective not in known:
            message = f"The objective of {method} is {process.objective}."
            raise RequestError("train.objective", message, f"Choose one of {', '.join(known)}.")


def check_learns(config: BridgeConfig, learns: tuple[str, ...]) -> None:
    """Whether there is something to learn, and nothing that the bridge alone would change for the others.

    Healing alone touches no tumor, whatever the methods.

    Raises
    ------
    RequestError : otherwise.
    """
    trained = [method for method in config.methods if method in learns]
    if learns == (HEALING,):
        return
    if not {*learns} <= {*METHODS} or not trained or ("bridge" in trained and trained != [*config.methods]):
        message = f"learns is {','.join(learns)}; the network has {', '.join(config.methods)}."
        hint = f"Name methods of the network: all of them, or any but the bridge, whose weights all share; or {HEALING} alone."
        raise RequestError("train.learns", message, hint)


def boxed_weights(kind: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How often ``flow`` learns from each region: half the time from whole tumors, half from regions with a changed look.

    Around the box of a real tumor there are traces of it; a network that has seen nothing else made tiny tumors or none where
    there were no traces. Of the regions with a changed look two fifths are healthy places, cut with a real tumor's shape,
    with healthy tissue up to their border, and a third lie inside of tumors.

    Parameters
    ----------
    kind, weights : of every region, and how often it is drawn otherwise.
    """
    whole, changed = (np.where(kind == wanted, weights, 0.0) for wanted in (TUMOR, CHANGED))
    if not whole.any() or not changed.any():
        return whole
    return np.asarray(0.5 * whole / whole.sum() + 0.5 * changed / changed.sum())


def equivalent_diameters(data: TrainingData) -> np.ndarray:
    """Diameter in mm of the ball of each region's volume, (regions,)."""
    volumes = np.array([region.volume_mm3 for region in data.regions])
    return np.asarray(2.0 * np.cbrt(volumes / BALL_VOLUME))


def _some(weights: np.ndarray, what: str) -> np.ndarray:
    """The weights, unless there is nothing to draw.

    Raises
    ------
    DataError : when all are zero.
    """
    if not weights.any():
        message = f"The training file has no {what}."
        hint = "Add masks of such tumors, or leave the method out; a bundle that has it cannot do without."
        raise DataError("data.regions", message, hint)
    return weights


def _codec(folder: Path | None, init: Bundle | None, device: str) -> Codec:
    if folder is not None:
        return load_codec(folder, device)
    if init is not None:
        return bundle_codec(init, device)
    raise DataError("codec.missing", "A bridge needs a codec.", "Give --codec, or --init to take the bundle's.")


def _start(
    content: TrainingData, stage: BridgeStage, out: Path, init: Bundle | None, codec: Codec, say: Say
) -> tuple[BridgeConfig, Mapping[str, Mapping[str, Tensor]] | None, Scales | None]:
    """Network, weights and feature scales that training starts from."""
    saved = load_checkpoint(out)
    if saved is not None:
        if saved.get("encoder", fingerprint(codec)) != fingerprint(codec):
            message = f"The bridge in {out} was trained on the latents of another codec."
            raise DataError("codec.other", message, "Give the codec it was trained on, or another --out.")
        return BridgeConfig(**saved["config"]), None, restored_scales(saved["scales"]) if "scales" in saved else None
    if init is None:
        return stage.network, None, None
    if fingerprint(bundle_codec(init, "cpu")) != fingerprint(codec):
        message = f"The bridge of bundle '{init.id}' works on the latents of another encoder."
        raise DataError("codec.other", message, "Leave --codec out, or fine-tune the codec with its encoder fixed.")
    config = from_dict(BridgeConfig, init.network("bridge"))
    more = [method for method in stage.network.methods if method not in config.methods]
    if more:
        # What the bundle's network learned is the start of the other methods too.
        config = replace(config, methods=(*config.methods, *more))
    if not config.healing_rank:
        config = replace(config, healing_rank=stage.network.healing_rank)
    if config.joint and not config.flow_rank:
        config = replace(config, flow_rank=stage.network.flow_rank)
    if config.joint and "flow" in stage.learns:
        config = replace(config, flow_leveled=config.flow_leveled or stage.network.flow_leveled)
    scales, refitted = bundle_scales(content, config.tokens, init)
    say(f"Feature scales are those of bundle '{init.id}'" + (f", refitted for {', '.join(refitted)}." if refitted else "."))
    return config, {name: init.weights(name) for name in ("bridge", "refiner") if name in init.configs}, scales


def check_crop(content: TrainingData, stage: BridgeStage, config: BridgeConfig, codec: Codec) -> None:
    """Whether regions, crop, codec and network fit together.

    Raises
    ------
    DataError : when they do not; says which sizes would.
    """
    if not content.regions:
        raise DataError("data.regions", "The training file has no regions.", "Make it with `tumorsynth prepare`.")
    if codec.config.latent_channels != config.latent_channels:
        found, wanted = codec.config.latent_channels, config.latent_channels
        message = f"The codec's latent has {found} channels, the bridge takes {wanted}."
        raise DataError("codec.channels", message, f"Set network.latent_channels={found}.")
    multiple = codec.config.factor * 2 ** (len(config.channels) - 1)
    if len(stage.crop) != 3 or any(edge % multiple or edge <= 0 for edge in stage.crop):
        message = f"The crop {stage.crop} does not fit: its three edges have to be multiples of {multiple}."
        raise DataError("data.crop", message, "Choose another crop.")
