"""The unit of the preconditioned objective: measured once, kept in checkpoint and bundle, and used by whoever samples."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_training
import torch

from TumorSynthLib.bundle import load_bundle
from TumorSynthLib.configs import DOMAINS, BridgeConfig
from TumorSynthLib.dataset import CORE, HEALTHY, PART, REST, TUMOR, TrainingData
from TumorSynthLib.methods import METHODS
from TumorSynthLib.nets.unet import MASK_SD, Condition, residual_sd
from TumorSynthLib.texture import Sampling, Task, TextureModel
from TumorSynthLib.train.checkpoints import load_checkpoint
from TumorSynthLib.train.codec import load_codec
from TumorSynthLib.train.conditions import Conditions
from TumorSynthLib.train.draws import prepared
from TumorSynthLib.train.export import Folders, export_bundle
from TumorSynthLib.train.latents import Hides, LatentCache
from TumorSynthLib.train.presets import BridgeStage
from TumorSynthLib.train.residuals import LEAST, LOOKED_AT, with_residual_sd

OBJECTIVES = {name: "preconditioned" for name in ("objective", "diffusion_objective", "flow_objective")}


def settings(**changes: int) -> BridgeStage:
    found: BridgeStage = tiny_training.stage("bridge", batch=4, **changes)
    return replace(found, network=replace(found.network, methods=METHODS, **OBJECTIVES))


def table(out: Path) -> tuple[tuple[float, float], ...]:
    state = load_checkpoint(out)
    assert state is not None
    return BridgeConfig(**state["config"]).residual_sd


def test_it_is_the_usual_size_of_what_the_network_has_to_add(content: TrainingData, codec: Path) -> None:
    cache = LatentCache(load_codec(codec, "cpu"), "cpu", "fp32", (32, 32, 32), 1.0)
    config = replace(tiny_training.BRIDGE, **OBJECTIVES)
    conditions = Conditions(content, config.tokens)
    rows = np.arange(len(content.regions))
    found = with_residual_sd(config, content, conditions, rows, cache).residual_sd
    assert (
        len(found) == len(DOMAINS)
        and with_residual_sd(replace(config, residual_sd=found), content, conditions, rows, cache).residual_sd is found
    )
    strange = next(number for number in range(len(DOMAINS)) if number not in conditions.domain)
    healthy, tumors = conditions.kind == HEALTHY, np.isin(conditions.kind, (TUMOR, PART, CORE, REST))
    for path, (chosen, hides) in enumerate(((healthy, Hides.REGION), (tumors, Hides.RING))):
        for number in np.unique(conditions.domain[chosen]):
            some = rows[(conditions.domain == number) & chosen]
            one = cache.batch([prepared(content, int(row), hides=hides) for row in some])
            inside = one.masks[:, :1]
            mean = ((one.x0 - one.y).square() * inside).sum(dim=(1, 2, 3, 4)) / inside.sum(dim=(1, 2, 3, 4)) / one.x0.shape[1]
            wanted = max(LEAST, float(np.sqrt(np.median(mean.numpy()))))
            assert found[number][path] == pytest.approx(wanted, rel=0.01 if len(some) <= LOOKED_AT else 0.5)
        known = [found[int(number)][path] for number in np.unique(conditions.domain[chosen])]
        assert found[strange][path] == pytest.approx(np.median(known), abs=1e-4), "a domain without regions takes the median"
    assert with_residual_sd(tiny_training.BRIDGE, content, conditions, rows, cache) is tiny_training.BRIDGE


def test_each_sample_has_that_of_its_domain_and_path_and_the_mask_its_own() -> None:
    rows = tuple((0.1 * n + 0.01, 0.1 * n + 0.02) for n in range(len(DOMAINS)))
    config = BridgeConfig(methods=METHODS, residual_sd=rows)
    zeros = torch.zeros(2, 0)
    condition = Condition(zeros, zeros, zeros, torch.tensor([False, True]), torch.tensor([3, 5]), torch.ones(2))
    found = residual_sd(config, condition)
    assert found.shape == (2, config.latent_channels, 1, 1, 1)
    assert found[:, 0].flatten().tolist() == pytest.approx([0.31, 0.52]) and bool((found == found[:, :1]).all())
    of_flow = residual_sd(config, replace(condition, method=METHODS.index("flow")))
    assert of_flow.shape[1] == config.latent_channels + 1 and of_flow[:, -1].flatten().tolist() == [MASK_SD, MASK_SD]
    assert bool((residual_sd(BridgeConfig(), condition) == 1.0).all())


def test_a_training_measures_it_once_and_the_bundle_samples_with_it(data: Path, codec: Path, tmp_path: Path) -> None:
    out = tiny_training.run("bridge", data, codec, tmp_path / "bridge", settings(steps=3))
    first = table(out)
    assert len(first) == len(DOMAINS)
    tiny_training.run("bridge", data, codec, out, settings(steps=4))
    assert table(out) == first
    shape = tiny_training.run("shape", data, codec, tmp_path / "shape", tiny_training.stage("shape", batch=2, steps=2))
    info = {"id": "mine", "version": "0.0.1", "intended_use": "tests"}
    bundle = load_bundle(export_bundle(data, Folders(codec, out, shape), tmp_path / "bundle", info))
    model = TextureModel(bundle, "cpu")
    assert [tuple(row) for row in model.config.residual_sd] == list(first)
    rng = np.random.default_rng(0)
    mask = np.zeros((32, 32, 32), bool)
    mask[10:22, 10:22, 10:22] = True
    task = Task(rng.normal(size=mask.shape).astype(np.float32), mask, bundle.domains[0], 1.0, {})
    for method in ("bridge", "diffusion"):
        one, other = model.synthesize(task, Sampling(4, 1.0, (0, 1), method=method))
        assert np.isfinite(one).all() and np.abs(one - other)[mask].mean() > 1e-3
    images, masks = model.joint(task, Sampling(4, 1.0, (0,)))
    assert np.isfinite(images).all() and masks[0][~mask].max() == 0.0
