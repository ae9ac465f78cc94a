"""Train the codec: reconstruction of random isotropic patches of every image, then with a patch discriminator."""

import zlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.configs import CodecConfig, from_dict
from TumorSynthLib.dataset import load_training_data
from TumorSynthLib.errors import DataError
from TumorSynthLib.nets.codec import Codec
from TumorSynthLib.train.checkpoints import BEST, STATE, load_best, load_checkpoint
from TumorSynthLib.train.codec_data import Patches
from TumorSynthLib.train.codec_trainer import CodecTrainer
from TumorSynthLib.train.common import seeded
from TumorSynthLib.train.journal import Say, silent
from TumorSynthLib.train.loop import Loop
from TumorSynthLib.train.presets import CodecStage
from TumorSynthLib.train.team import Team


def train_codec(
    data: Path, out: Path, stage: CodecStage, team: Team, init: Bundle | None = None, say: Say = silent, whole: bool = False
) -> Path:
    """Train in a folder, or go on with the training there.

    Parameters
    ----------
    data : training file of ``prepare``.
    out : folder of checkpoints and log.
    stage : settings; the network of a checkpoint or bundle wins over theirs.
    team : the processes that train together.
    init : bundle whose weights are the start.
    say, whole : as ``Loop``.

    Returns
    -------
    The folder.

    Raises
    ------
    DataError : when the decoder alone is to be trained and there is neither checkpoint nor bundle.
    """
    patches = Patches(load_training_data(data))
    config, base = stage.network, None
    saved = load_checkpoint(out)
    if saved is not None:
        # A decoder is trained under the encoder that was exported, which need not be the last one.
        kept = load_best(out) if stage.decoder_only else saved
        config, base = CodecConfig(**kept["config"]), kept["average"] if stage.decoder_only else None
    elif init is not None:
        config, base = from_dict(CodecConfig, init.network("codec")), init.weights("codec")
    elif stage.decoder_only:
        raise DataError("codec.missing", f"There is no codec in {out} whose decoder could be trained.", "Train a codec first.")
    trainer = CodecTrainer(patches, config, stage.train, team, stage.decoder_only, base)
    Loop(trainer, out, team, say, whole).run()
    return out


def load_codec(checkpoint: Path, device: str) -> Codec:
    """The exported codec of a codec training.

    Raises
    ------
    DataError : when there is none.
    """
    if not any((checkpoint / name).exists() for name in (BEST, STATE)):
        raise DataError("codec.missing", f"There is no codec checkpoint in {checkpoint}.", "Train the codec first.")
    state = load_best(checkpoint)
    return _finished(CodecConfig(**state["config"]), state["average"], device)


def bundle_codec(bundle: Bundle, device: str) -> Codec:
    """The codec of a bundle."""
    return _finished(from_dict(CodecConfig, bundle.network("codec")), bundle.weights("codec"), device)


def _finished(config: CodecConfig, weights: Mapping[str, Tensor], device: str) -> Codec:
    with seeded(0):
        codec = Codec(config)
    codec.load_state_dict(weights)
    return codec.to(device).eval().requires_grad_(False)


def fingerprint(codec: Codec) -> int:
    """A number that changes with the encoder: a bridge is good for the one encoder that it was trained on."""
    found = 0
    for value in codec.net.encoder.state_dict().values():
        # In half precision, as bundles store it.
        found = zlib.crc32(value.detach().cpu().half().numpy().tobytes(), found)
    return found
