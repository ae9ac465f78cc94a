"""Which domain an image is given, and the configurations that travel with a bundle."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from TumorSynthLib.configs import DOMAINS, TEXTURE_TOKENS, BridgeConfig, CodecConfig, Domain, domain_from_dict, to_dict
from TumorSynthLib.domains import choose_domain, looks_like_ct, lung_share
from TumorSynthLib.errors import RequestError
from TumorSynthLib.protocol import TEXTURE_FEATURES
from TumorSynthLib.volume import Geometry, Volume

LUNG, TISSUE, OUTSIDE = np.array([20.0, 20.0, 20.0]), np.array([70.0, 20.0, 20.0]), np.array([-60.0, 20.0, 20.0])


def chest() -> Volume:
    """Lung on one side, tissue on the other, air around, 2 mm voxels."""
    array = np.full((50, 20, 20), -1000, np.int16)
    array[2:22, 2:18] = np.random.default_rng(0).normal(-800, 40, (20, 16, 20))
    array[22:48, 2:18] = np.random.default_rng(1).normal(40, 20, (26, 16, 20))
    return Volume(array, Geometry(array.shape, np.diag([2.0, 2.0, 2.0, 1.0])), "HU")


def mr() -> Volume:
    array = np.random.default_rng(0).gamma(4.0, 100.0, (20, 20, 20))
    return Volume(array, Geometry(array.shape, np.eye(4)))


@pytest.mark.parametrize("domain", DOMAINS, ids=[domain.id for domain in DOMAINS])
def test_the_domain_asked_for_is_taken_without_a_question(domain: Domain) -> None:
    assert choose_domain(domain.id, DOMAINS, mr(), {"modality": "CT"}, LUNG) == (domain, [])


def test_an_unknown_domain_is_refused_with_the_domains_that_there_are() -> None:
    with pytest.raises(RequestError) as caught:
        choose_domain("liver-ct", DOMAINS, chest(), {}, LUNG)
    assert caught.value.code == "request.domain"
    assert "liver-ct" in str(caught.value) and all(domain.id in str(caught.value) for domain in DOMAINS)


@pytest.mark.parametrize("metadata", [{}, {"modality": "CT"}])
def test_a_ct_is_lung_where_there_is_lung_and_soft_tissue_elsewhere_and_says_so(metadata: dict[str, str]) -> None:
    lung, told = choose_domain("auto", DOMAINS, chest(), metadata, LUNG)
    assert lung.id == "lung-ct" and "lung-ct" in told[0]
    scan = chest()
    scan.array[:22] = np.where(scan.array[:22] > -950, 30, -1000)
    assert choose_domain("auto", DOMAINS, scan, metadata, TISSUE)[0].id == "soft-tissue-ct"


def test_the_only_domain_of_a_modality_is_found_by_metadata() -> None:
    pets = [domain for domain in DOMAINS if domain.id != "head-neck-pet"]
    assert choose_domain("auto", pets, mr(), {"modality": "PT"}, LUNG)[0].id == "soft-tissue-pet"


@pytest.mark.parametrize("modality", ["MR", "PT"])
def test_a_modality_with_several_domains_is_asked_for_naming_only_those(modality: str) -> None:
    with pytest.raises(RequestError) as caught:
        choose_domain("auto", DOMAINS, mr(), {"modality": modality}, LUNG)
    fitting = [domain.id for domain in DOMAINS if domain.modality.startswith({"MR": "MR", "PT": "PET"}[modality])]
    assert caught.value.hint == f"Name one of: {', '.join(fitting)}."


def test_an_image_that_tells_nothing_is_not_guessed() -> None:
    with pytest.raises(RequestError, match="no modality in the file"):
        choose_domain("auto", DOMAINS, mr(), {}, LUNG)


def test_a_ct_for_a_bundle_without_that_domain_is_refused() -> None:
    with pytest.raises(RequestError, match="CT in general"):
        choose_domain("auto", [d for d in DOMAINS if d.id == "brain-t1"], chest(), {"modality": "CT"}, LUNG)


def test_only_hounsfield_units_look_like_ct() -> None:
    assert looks_like_ct(chest().array)
    assert not looks_like_ct(mr().array)
    assert not looks_like_ct(chest().array + 1000)
    assert not looks_like_ct(np.random.default_rng(0).normal(0, 1, (20, 20, 20)))


def test_the_lung_share_is_that_of_the_surroundings() -> None:
    assert lung_share(chest(), np.array([24.0, 20.0, 20.0]), 8.0) == pytest.approx(1.0, abs=0.01)
    assert lung_share(chest(), TISSUE, 8.0) == 0.0


def test_a_point_outside_the_scan_sees_no_lung() -> None:
    assert lung_share(chest(), OUTSIDE) == 0.0
    assert lung_share(chest(), np.array([150.0, 20.0, 20.0])) == 0.0


@pytest.mark.parametrize("domain", DOMAINS, ids=[domain.id for domain in DOMAINS])
def test_a_domain_survives_the_bundle_with_its_statistics_beside_it(domain: Domain) -> None:
    entry = json.loads(json.dumps(asdict(domain))) | {"statistics": {}, "pyradiomics": domain.radiomics}
    assert domain_from_dict(entry) == domain
    assert domain_from_dict(entry) != replace(domain, bin_width=domain.bin_width + 1.0)


def test_domains_are_unique_and_borrow_only_from_domains_with_the_same_unit() -> None:
    by_id = {domain.id: domain for domain in DOMAINS}
    assert len(by_id) == len(DOMAINS)
    for domain in DOMAINS:
        if domain.trained_as:
            assert by_id[domain.trained_as].unit == domain.unit
            assert domain.radiomics == by_id[domain.trained_as].radiomics


def test_every_token_is_a_feature_that_can_be_measured() -> None:
    assert len(set(TEXTURE_TOKENS)) == len(TEXTURE_TOKENS) and set(TEXTURE_TOKENS) <= set(TEXTURE_FEATURES)


def test_the_shipped_bridge_fits_the_shipped_codec() -> None:
    assert BridgeConfig().latent_channels == CodecConfig().latent_channels == 32
    assert CodecConfig().factor == 4 and CodecConfig(channels=(8, 8), patch=1).factor == 4


@pytest.mark.parametrize("config", [CodecConfig(code_mean=(0.5,) * 4, code_std=(2.0,) * 4), BridgeConfig()])
def test_a_config_is_plain_json(config: CodecConfig | BridgeConfig) -> None:
    stored = to_dict(config)
    assert json.loads(json.dumps(stored)) == stored
    again = type(config)(**{key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()})
    assert again == config
