"""Train the codec: reconstruction of random isotropic patches of every image, then with a patch discriminator."""

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.losses import PatchAdversarialLoss
from monai.networks.nets import PatchDiscriminator
from torch import Tensor

from TumorSynthLib.configs import CodecConfig, TrainConfig
from TumorSynthLib.dataset import TrainImage, TrainingData, flip, load_training_data
from TumorSynthLib.errors import DataError
from TumorSynthLib.losses import gradient_loss
from TumorSynthLib.nets.codec import Codec
from TumorSynthLib.train.common import (
    Average,
    Clock,
    Log,
    autocast,
    is_validation,
    learning_rate,
    load_checkpoint,
    numpy_generator,
    save_checkpoint,
    set_learning_rate,
    steps,
)
from TumorSynthLib.volume import work_grid

PATCH = 32
"""Edge of a training patch in voxels; the codec is convolutional, so small patches serve and give more variety."""


def draw_patch(image: TrainImage, rng: np.random.Generator, size: int = PATCH) -> np.ndarray:
    """A random isotropic patch of network input, float32 (size, size, size), with body in it."""
    finest = max(0.75, float(min(image.geometry.spacing)))
    for _ in range(6):
        spacing = float(np.exp(rng.uniform(np.log(finest), np.log(max(4.0, 1.3 * finest)))))
        at = rng.uniform(0.1, 0.9, 3) * (np.array(image.geometry.shape) - 1)
        grid = work_grid(image.geometry, image.geometry.to_ras(at), spacing, size)
        patch = image.patch(grid)
        if patch.std() > 0.02:
            break
    return flip(patch, tuple(bool(f) for f in rng.integers(0, 2, 3)))


def image_weights(images: list[TrainImage]) -> np.ndarray:
    """How often each image is drawn: images of rare domains more often than one by one, less than domain by domain."""
    counts: dict[str, int] = {}
    for image in images:
        counts[image.domain.id] = counts.get(image.domain.id, 0) + 1
    weights = np.array([counts[image.domain.id] ** -0.5 for image in images])
    return np.asarray(weights / weights.sum())


def batches(images: list[TrainImage], batch: int, seed: int, start: int) -> Iterator[Tensor]:
    """Batches (B, 1, 32, 32, 32), each from its own generator."""
    weights = image_weights(images)
    step = start
    while True:
        rng = numpy_generator(seed, step)
        chosen = rng.choice(len(images), size=batch, p=weights)
        yield torch.from_numpy(np.stack([draw_patch(images[int(n)], rng) for n in chosen]))[:, None]
        step += 1


def reconstruction_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """L1 plus L1 of finite differences at several scales, in place of a perceptual network that would have to be downloaded."""
    return (predicted - target).abs().mean() + gradient_loss(predicted, target)


class CodecTrainer:
    """Holds networks, optimizers and their states."""

    def __init__(self, config: CodecConfig, train: TrainConfig, device: str, decoder_only: bool = False) -> None:
        torch.manual_seed(train.seed)
        self.config, self.train, self.device, self.decoder_only = config, train, device, decoder_only
        self.codec = Codec(config).to(device)
        self.average = Average(self.codec, train.ema)
        self.critic = PatchDiscriminator(spatial_dims=3, channels=24, in_channels=1, out_channels=1, num_layers_d=2).to(device)
        self.adversarial = PatchAdversarialLoss(criterion="least_squares")
        self.codec.net.encoder.requires_grad_(not decoder_only)
        trained = [weight for weight in self.codec.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, train.learning_rate, betas=(0.9, 0.99))
        self.critic_optimizer = torch.optim.AdamW(self.critic.parameters(), train.learning_rate, betas=(0.5, 0.99))

    def step(self, v: Tensor, number: int, share: float) -> dict[str, float]:
        """One optimizer step on network input (B, 1, D, H, W)."""
        rate = learning_rate(self.train, number, share)
        set_learning_rate(self.optimizer, rate)
        adversarial = share >= self.train.extra["adversarial_from"]
        with autocast(self.device):
            predicted, code, coding = self.codec(v)
        loss = reconstruction_loss(predicted.float(), v)
        # A weak pull to unit size keeps the code's scale from drifting, nothing more.
        total = loss + coding.float() + 1e-4 * code.float().square().mean()
        if adversarial:
            with autocast(self.device):
                judged = self.critic(predicted)[-1].float()
            total = total + self.train.extra["adversarial"] * self.adversarial(
                judged, target_is_real=True, for_discriminator=False
            )
        self.optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.codec.parameters(), 1.0)
        self.optimizer.step()
        self.average.update(self.codec, number)
        values = {"loss": float(loss.detach()), "rate": rate}
        if adversarial:
            values["critic"] = self._critic_step(v, predicted.detach(), rate)
        return values

    def _critic_step(self, real: Tensor, fake: Tensor, rate: float) -> float:
        set_learning_rate(self.critic_optimizer, rate)
        with autocast(self.device):
            judged_real, judged_fake = self.critic(real)[-1].float(), self.critic(fake)[-1].float()
        loss = 0.5 * (
            self.adversarial(judged_real, target_is_real=True, for_discriminator=True)
            + self.adversarial(judged_fake, target_is_real=False, for_discriminator=True)
        )
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        return float(loss.detach())

    def state(self, step: int, seconds: float) -> dict[str, Any]:
        """Everything a resumed run needs."""
        return {
            "step": step,
            "seconds": seconds,
            "config": asdict(self.config),
            "decoder_only": self.decoder_only,
            "codec": self.codec.state_dict(),
            "average": self.average.network.state_dict(),
            "critic": self.critic.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> int:
        """Restore a checkpoint; returns the next step."""
        if self.decoder_only and not state.get("decoder_only", False):
            # The bridge was trained on the averaged encoder: it is the one to keep, with a fresh optimizer.
            self.codec.load_state_dict(state["average"])
            self.average.network.load_state_dict(state["average"])
            return int(state["step"])
        self.codec.load_state_dict(state["codec"])
        self.average.network.load_state_dict(state["average"])
        self.critic.load_state_dict(state["critic"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.critic_optimizer.load_state_dict(state["critic_optimizer"])
        return int(state["step"])


@torch.no_grad()
def validate(codec: Codec, patches: dict[str, Tensor], device: str) -> dict[str, float]:
    """PSNR in dB (peak = 2, the linear range of network input) per modality on fixed patches."""
    result = {}
    for name, v in patches.items():
        with autocast(device):
            predicted, _, _ = codec(v.to(device))
        result[f"psnr_{name}"] = float(10.0 * torch.log10(4.0 / (predicted.float().cpu() - v).square().mean()))
    return result


def validation_patches(images: list[TrainImage], count: int = 12) -> dict[str, Tensor]:
    """Fixed patches of held-out patients, by modality."""
    found: dict[str, list[np.ndarray]] = {}
    for number, image in enumerate(images):
        kind = image.domain.modality.split("-")[0]
        rng = numpy_generator(999, number)
        found.setdefault(kind, []).extend(draw_patch(image, rng) for _ in range(2))
    return {kind: torch.from_numpy(np.stack(list_[:count]))[:, None] for kind, list_ in found.items()}


@torch.no_grad()
def code_statistics(
    codec: Codec, data: TrainingData, device: str, count: int = 256
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each code channel over random patches."""
    sums = []
    for v in (next(batches(list(data.images), 8, 77, n)) for n in range(count // 8)):
        with autocast(device):
            sums.append(codec.net.encoder(v.to(device)).float().cpu().transpose(0, 1).flatten(1))
    values = torch.cat(sums, dim=1)
    return tuple(values.mean(dim=1).tolist()), tuple(values.std(dim=1).tolist())


def train_codec(
    data: Path,
    out: Path,
    minutes: float,
    *,
    device: str = "cpu",
    seed: int = 0,
    batch: int = 8,
    config: CodecConfig | None = None,
    decoder_only: bool = False,
    adversarial_from: float = 0.8,
) -> Path:
    """Train until the time is over; resumes from ``out/checkpoint.pt``; logs to ``out/log.jsonl``.

    Parameters
    ----------
    data : training file of ``prepare``.
    out : folder for checkpoint and log.
    minutes : wall time of this call.
    device : torch device.
    seed : of weights, order and augmentation.
    batch : patches per step.
    config : network; by default the shipped one, or that of the checkpoint.
    decoder_only : go on from the checkpoint with the encoder fixed, so that a bridge trained on its latents stays valid.
    adversarial_from : share of the time after which the patch discriminator joins in; 1 is never.

    Raises
    ------
    DataError : when the decoder alone is to be trained and there is no checkpoint.
    """
    content = load_training_data(data)
    training = [image for image in content.images if not is_validation(image.patient)]
    patches = validation_patches([image for image in content.images if is_validation(image.patient)] or training[:8])
    settings = TrainConfig(minutes, batch, 4e-4, seed=seed, extra={"adversarial": 0.02, "adversarial_from": adversarial_from})
    before = load_checkpoint(out)
    if decoder_only and before is None:
        raise DataError("codec.missing", f"There is no codec in {out} whose decoder could be trained.", "Train a codec first.")
    if before:
        config = CodecConfig(**before["config"])
    trainer = CodecTrainer(config or CodecConfig(), settings, device, decoder_only)
    start = trainer.load(before) if before else 0
    log, clock = Log(out), Clock(minutes)
    source = batches(training, batch, seed, start)
    last = start
    for number in steps(start, clock):
        began = time.monotonic()
        values = trainer.step(next(source).to(device), number, clock.share)
        last = number + 1
        if number % 25 == 0:
            log.write(step=number, **values, seconds=time.monotonic() - began)
        if last % settings.validate_every == 0:
            log.write(step=last, **validate(trainer.average.network, patches, device))
            save_checkpoint(out, trainer.state(last, clock.elapsed))
    if not decoder_only:
        mean, std = code_statistics(trainer.average.network, content, device)
        trainer.config = replace(trainer.config, code_mean=mean, code_std=std)
    save_checkpoint(out, trainer.state(last, clock.elapsed))
    log.write(step=last, **validate(trainer.average.network, patches, device))
    return out / "checkpoint.pt"
