"""One step of a codec training, and what is validated, kept and shown of it."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from monai.losses import PatchAdversarialLoss
from monai.networks.nets import PatchDiscriminator
from torch import Tensor

from TumorSynthLib.configs import CodecConfig, TrainConfig
from TumorSynthLib.losses import gradient_loss
from TumorSynthLib.nets.codec import Codec
from TumorSynthLib.train.codec_data import Patches
from TumorSynthLib.train.common import Average, autocast, learning_rate, seeded, set_learning_rate
from TumorSynthLib.train.journal import picture
from TumorSynthLib.train.team import Team, gradient_part

STATISTICS = 128
"""Patches that mean and standard deviation of the code are taken from."""


def reconstruction_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """L1 plus L1 of finite differences at several scales, in place of a perceptual network that would have to be downloaded."""
    return (predicted - target).abs().mean() + gradient_loss(predicted, target)


class CodecTrainer:
    """Networks and optimizers of a codec training.

    Parameters
    ----------
    patches : what is reconstructed.
    config, train : of the network and of the training.
    team : the processes that train together.
    decoder_only : whether the encoder stays as it is, so that a bridge trained on its latents stays valid.
    base : finished weights to start from.
    """

    def __init__(
        self,
        patches: Patches,
        config: CodecConfig,
        train: TrainConfig,
        team: Team,
        decoder_only: bool = False,
        base: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.patches, self.config, self.train, self.team = patches, config, train, team
        self.decoder_only, self.warm, self.device = decoder_only, base is not None, team.device
        with seeded(train.seed):
            self.codec = Codec(config)
            # Instance rather than batch normalization: what one sample gets must not depend on the others of its part.
            self.critic = PatchDiscriminator(
                spatial_dims=3, channels=24, in_channels=1, out_channels=1, num_layers_d=2, norm="INSTANCE"
            )
        if base is not None:
            self.codec.load_state_dict(base)
        self.codec.to(self.device)
        self.critic.to(self.device)
        self.average = Average(self.codec, train.ema)
        self.adversarial = PatchAdversarialLoss(criterion="least_squares")
        self.codec.net.encoder.requires_grad_(not decoder_only)
        self.parallel, self.parallel_critic = team.wrap(self.codec), team.wrap(self.critic)
        trained = [weight for weight in self.codec.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, train.learning_rate, betas=(0.9, 0.99))
        self.critic_optimizer = torch.optim.AdamW(self.critic.parameters(), train.learning_rate, betas=(0.5, 0.99))

    def step(self, number: int, share: float) -> dict[str, float]:
        """One step; the discriminator takes part from ``extra["adversarial_from"]`` of the training on."""
        rate = learning_rate(self.train, number, share)
        adversarial = share >= self.train.extra["adversarial_from"]
        for optimizer in (self.optimizer, self.critic_optimizer):
            set_learning_rate(optimizer, rate)
            optimizer.zero_grad(set_to_none=True)
        parts = []
        for part in range(self.train.accumulate):
            v = self.patches.batch(self.train.seed, number, self.team.items(self.train, part)).to(self.device)
            with gradient_part(self.parallel, self.parallel_critic, last=part == self.train.accumulate - 1):
                parts.append(self._part(v, adversarial))
        torch.nn.utils.clip_grad_norm_(self.codec.parameters(), 1.0)
        self.optimizer.step()
        if adversarial:
            self.critic_optimizer.step()
        self.average.update(self.codec, number)
        return {name: sum(part[name] for part in parts) / len(parts) for name in parts[0]} | {"rate": rate}

    def _part(self, v: Tensor, adversarial: bool) -> dict[str, float]:
        """Gradients of one part of the step."""
        with autocast(self.device, self.train.precision):
            predicted, code, coding = self.parallel(v)
        loss = reconstruction_loss(predicted.float(), v)
        # A weak pull to unit size keeps the code's scale from drifting, nothing more.
        total = loss + coding.float() + 1e-4 * code.float().square().mean()
        if adversarial:
            total = total + self.train.extra["adversarial"] * self._deceived(predicted)
        (total / self.train.accumulate).backward()
        values = {"loss": float(loss.detach())}
        if adversarial:
            values["critic"] = self._critic_part(v, predicted.detach())
        return values

    def _deceived(self, predicted: Tensor) -> Tensor:
        """How far the discriminator is from taking reconstructions for images; its own weights get no gradient from this."""
        self.critic.requires_grad_(False)
        with autocast(self.device, self.train.precision):
            judged = self.critic(predicted)[-1].float()
        self.critic.requires_grad_(True)
        return torch.as_tensor(self.adversarial(judged, target_is_real=True, for_discriminator=False))

    def _critic_part(self, real: Tensor, fake: Tensor) -> float:
        with autocast(self.device, self.train.precision):
            judged = self.parallel_critic(torch.cat([real, fake.to(real.dtype)]))[-1].float()
        judged_real, judged_fake = judged.chunk(2)
        loss = 0.5 * (
            self.adversarial(judged_real, target_is_real=True, for_discriminator=True)
            + self.adversarial(judged_fake, target_is_real=False, for_discriminator=True)
        )
        (loss / self.train.accumulate).backward()
        return float(loss.detach())

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs."""
        return {
            "config": asdict(self.config),
            "decoder_only": self.decoder_only,
            "codec": self.codec.state_dict(),
            "average": self.average.network.state_dict(),
            "critic": self.critic.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``state``."""
        if self.decoder_only and not state.get("decoder_only", False):
            # The bridge was trained on the exported encoder, which is the one this was made with; the optimizer is fresh.
            return
        self.codec.load_state_dict(state["codec"])
        self.average.network.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        # Earlier versions judged with batch normalization: their critic cannot be continued, a fresh one learns quickly.
        if state["critic"].keys() == self.critic.state_dict().keys():
            self.critic.load_state_dict(state["critic"])
            self.critic_optimizer.load_state_dict(state["critic_optimizer"])

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """PSNR in dB (peak = 2, the linear range of network input) per modality on fixed patches of held-out patients."""
        return {
            f"psnr_{name}": float(10.0 * torch.log10(4.0 / (self._reconstructed(v) - v).square().mean()))
            for name, v in self.patches.validation.items()
        }

    def score(self, values: Mapping[str, float]) -> float:
        """Mean PSNR over modalities."""
        return float(np.mean(list(values.values())))

    def exported(self) -> dict[str, Any]:
        """Config and averaged weights; the config with the statistics of the code that these weights make."""
        config = self.config
        if not self.decoder_only:
            mean, std = self._code_statistics()
            config = replace(config, code_mean=mean, code_std=std)
        return {"config": asdict(config), "average": self.average.network.state_dict()}

    def panels(self) -> dict[str, np.ndarray]:
        """Held-out patches above their reconstructions, by modality."""
        chosen = {name: v[:4] for name, v in self.patches.validation.items()}
        return {
            f"reconstruction_{name}": picture([list(v[:, 0].numpy()), list(self._reconstructed(v)[:, 0].numpy())])
            for name, v in chosen.items()
        }

    @torch.no_grad()
    def _reconstructed(self, v: Tensor) -> Tensor:
        with autocast(self.device, self.train.precision):
            return self.average.network(v.to(self.device))[0].float().cpu()

    @torch.no_grad()
    def _code_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each code channel over patches of training images."""
        codes = []
        for v in self.patches.typical(STATISTICS).split(8):
            with autocast(self.device, self.train.precision):
                codes.append(self.average.network.net.encoder(v.to(self.device)).float().cpu().transpose(0, 1).flatten(1))
        values = torch.cat(codes, dim=1)
        return tuple(values.mean(dim=1).tolist()), tuple(values.std(dim=1).tolist())
