"""The codec: folding is invertible, codes are standardized, and quantization does what it says."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from TumorSynthLib.configs import CodecConfig
from TumorSynthLib.nets.codec import Codec, fold, unfold

CONFIG = CodecConfig(channels=(8,), res_layers=1, codes=32)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def built(config: CodecConfig) -> Codec:
    torch.random.manual_seed(0)
    return Codec(config).eval().requires_grad_(False)


@pytest.mark.parametrize("patch", [1, 2, 3])
def test_unfolding_undoes_folding_on_unequal_edges(patch: int) -> None:
    code = drawn(2, 3, 2 * patch, 4 * patch, 3 * patch)
    latent = fold(code, patch)
    assert latent.shape == (2, 3 * patch**3, 2, 4, 3)
    assert torch.equal(unfold(latent, patch), code)
    assert torch.equal(fold(unfold(latent, patch), patch), latent)


def test_a_latent_cell_holds_the_block_of_code_cells_at_its_place() -> None:
    code = drawn(1, 3, 4, 6, 8)
    latent = fold(code, 2)
    block = code[0, :, 2:4, 0:2, 6:8]
    assert torch.equal(latent[0, :, 1, 0, 3], block.reshape(-1))


@pytest.mark.parametrize("quantize", [False, True], ids=["plain", "quantized"])
@pytest.mark.parametrize(("channels", "patch", "factor"), [((8,), 2, 4), ((8, 8), 1, 4), ((8,), 1, 2)])
def test_shapes_follow_the_config(channels: tuple[int, ...], patch: int, factor: int, quantize: bool) -> None:
    config = replace(CONFIG, channels=channels, patch=patch, quantize=quantize)
    codec, v = built(config), drawn(2, 1, 16, 8, 24)
    z = codec.encode(v)
    assert config.factor == factor
    assert z.shape == (2, config.latent_channels, 16 // factor, 8 // factor, 24 // factor)
    assert codec.decode(z).shape == v.shape and codec.decode(z).dtype == torch.float32


def test_the_latent_is_the_standardized_code() -> None:
    mean, std = (0.5, -1.0, 2.0, 0.0), (2.0, 0.5, 1.0, 3.0)
    plain, standardized = built(CONFIG), built(replace(CONFIG, code_mean=mean, code_std=std))
    standardized.load_state_dict(plain.state_dict())
    v = drawn(1, 1, 16, 16, 16)
    code = unfold(plain.encode(v), 2)
    expected = (code - torch.tensor(mean).view(1, -1, 1, 1, 1)) / torch.tensor(std).view(1, -1, 1, 1, 1)
    assert torch.allclose(unfold(standardized.encode(v), 2), expected, atol=1e-6)
    assert torch.allclose(standardized.decode(standardized.encode(v)), plain.decode(plain.encode(v)), atol=1e-5)


@pytest.mark.parametrize("quantize", [False, True], ids=["plain", "quantized"])
def test_decoding_the_latent_is_what_was_trained(quantize: bool) -> None:
    codec, v = built(replace(CONFIG, quantize=quantize)), drawn(1, 1, 16, 16, 16)
    assert torch.allclose(codec.decode(codec.encode(v)), codec(v)[0], atol=1e-5)


def test_the_quantized_decoder_sees_codes_of_the_book_alone_and_the_nearest_ones() -> None:
    codec = built(replace(CONFIG, quantize=True))
    book = codec.net.quantizer.quantizer.embedding.weight
    z = codec.encode(drawn(1, 1, 16, 16, 16))
    code = unfold(z, 2).movedim(1, -1).reshape(-1, 4)
    nearest = book[torch.cdist(code, book).argmin(dim=1)].reshape(1, 8, 8, 8, 4).movedim(-1, 1)
    assert torch.allclose(codec.decode(z), codec.net.decoder(nearest), atol=1e-5)
    assert torch.allclose(codec.decode(z), codec.decode(z + 1e-6), atol=1e-6), "a step smaller than half a cell changes nothing"


def test_decoding_does_not_change_the_codebook() -> None:
    codec = built(replace(CONFIG, quantize=True))
    before = {key: value.clone() for key, value in codec.state_dict().items()}
    codec.decode(codec.encode(drawn(1, 1, 16, 16, 16)))
    assert all(torch.equal(value, before[key]) for key, value in codec.state_dict().items())


@pytest.mark.parametrize("training", [False, True])
def test_the_plain_codec_is_deterministic_and_loses_nothing_by_quantization(training: bool) -> None:
    codec, v = built(CONFIG).train(training), drawn(2, 1, 16, 16, 16)
    first, second = codec(v), codec(v)
    assert torch.equal(first[0], second[0]) and float(first[2]) == 0.0
    assert torch.equal(codec.encode(v)[:1], codec.encode(v)[:1])


def test_samples_of_a_batch_do_not_see_each_other() -> None:
    codec, v = built(CONFIG), drawn(3, 1, 8, 8, 8)
    together = codec.encode(v)
    for n in range(3):
        assert torch.allclose(codec.encode(v[n : n + 1]), together[n : n + 1], atol=1e-6)


def test_a_move_by_one_latent_cell_moves_the_latent() -> None:
    codec, v = built(CONFIG), drawn(1, 1, 40, 16, 16)
    z, moved = codec.encode(v), codec.encode(v.roll(4, dims=2))
    assert torch.allclose(moved[:, :, 4:8], z[:, :, 3:7], atol=1e-5)


def test_statistics_belong_to_the_config_and_not_to_the_weights() -> None:
    assert {"mean", "std"}.isdisjoint(built(CONFIG).state_dict())
