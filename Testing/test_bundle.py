"""Bundles: what is written is what is read, and nothing unverified is ever used."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from TumorSynthLib.bundle import (
    MODELS_VARIABLE,
    Bundle,
    domain_entry,
    list_bundles,
    load_bundle,
    write_bundle,
)
from TumorSynthLib.configs import DOMAINS
from TumorSynthLib.errors import BundleError, OutputError

STATISTICS = {"firstorder_Mean": {"mean": 40.0, "sd": 12.0, "quantiles": [float(n) for n in range(33)]}}


def description() -> dict:
    """A description of a bundle with a CT domain, and a PET domain trained as another one."""
    by_id = {domain.id: domain for domain in DOMAINS}
    return {
        "id": "tiny",
        "version": "1.2.0",
        "licence": "CC-BY-4.0",
        "intended_use": "Tests.",
        "training_data": ["random numbers"],
        "domains": [
            domain_entry(by_id["soft-tissue-ct"], STATISTICS),
            domain_entry(by_id["soft-tissue-pet"], {"firstorder_Mean": {"mean": 3.0, "sd": 1.0, "quantiles": []}}),
            domain_entry(by_id["head-neck-pet"], {}),
            domain_entry(by_id["brain-t1"], {}),
        ],
        "networks": {"codec": {"channels": [8, 16]}},
        "shape_statistics": {"kidney": [1.0]},
    }


def weights() -> dict:
    values = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    return {"codec": {"conv.weight": values, "count": torch.tensor([7])}}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The folder of a bundle, inside a folder of bundles."""
    return write_bundle(tmp_path / "models" / "tiny", description(), weights(), "# Tiny\n")


def rewritten(folder: Path, **changes: object) -> Path:
    """The bundle with another description; a value of None takes the key away."""
    path = folder / "bundle.json"
    info = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in info.items() if value is not None}))
    return folder


def code_of(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    assert caught.value.hint
    return caught.value.code


def test_a_bundle_reads_back_what_was_written(tiny: Path) -> None:
    bundle = load_bundle("tiny", tiny.parent)
    assert (bundle.id, bundle.version, bundle.licence, bundle.card) == ("tiny", "1.2.0", "CC-BY-4.0", "# Tiny\n")
    assert bundle.network("codec") == {"channels": [8, 16]}
    assert bundle.configs == {"codec": {"channels": [8, 16]}}
    assert bundle.shape_statistics == {"kidney": [1.0]}
    assert bundle.statistics("soft-tissue-ct") == STATISTICS
    assert bundle.domains[0] == next(domain for domain in DOMAINS if domain.id == "soft-tissue-ct")


def test_whoever_may_read_the_description_may_read_the_weights(tiny: Path) -> None:
    modes = {path.name: path.stat().st_mode for path in tiny.iterdir()}
    assert len(modes) > 2 and len(set(modes.values())) == 1, modes


def test_weights_come_back_in_float32_rounded_to_half_precision(tiny: Path) -> None:
    loaded, original = load_bundle(tiny).weights("codec"), weights()["codec"]
    assert loaded["conv.weight"].dtype == torch.float32
    assert torch.equal(loaded["conv.weight"], original["conv.weight"].half().float())
    assert loaded["count"].dtype == torch.int64 and loaded["count"].item() == 7


def test_every_domain_keeps_its_normalization_and_settings(tiny: Path) -> None:
    bundle = load_bundle(tiny)
    for domain in bundle.domains:
        assert bundle.domain(domain.id) == next(known for known in DOMAINS if known.id == domain.id)
        assert bundle.radiomics(domain.id) == json.loads(json.dumps(domain.radiomics))
    norm = bundle.info["domains"][3]["normalization"]
    assert norm["kind"] == "percentile" and "P0.5" in norm["formula"] and norm["scope"]


def test_a_domain_without_training_images_has_the_statistics_of_the_one_it_is_trained_as(tiny: Path) -> None:
    bundle = load_bundle(tiny)
    assert bundle.statistics("head-neck-pet")["firstorder_Mean"]["mean"] == 3.0
    assert bundle.statistics("brain-t1") == {}


def test_the_identity_is_the_hash_of_the_description(tiny: Path) -> None:
    digest = hashlib.sha256((tiny / "bundle.json").read_bytes()).hexdigest()
    assert load_bundle(tiny).identity == {"id": "tiny", "version": "1.2.0", "sha256": digest}


def test_an_unknown_domain_or_network_is_answered_with_those_there_are(tiny: Path) -> None:
    bundle = load_bundle(tiny)
    with pytest.raises(BundleError, match="soft-tissue-ct, soft-tissue-pet"):
        bundle.domain("liver-us")
    with pytest.raises(BundleError, match="It has codec"):
        bundle.network("bridge")
    with pytest.raises(BundleError, match="It has codec"):
        bundle.weights("../codec")


@pytest.mark.parametrize("name", ["../tiny", "models/tiny", "a\\b", "", ".", "..", "/", "tiny/", ".hidden", "C:tiny", "tiny\n"])
def test_a_name_with_path_parts_is_refused(tiny: Path, name: str) -> None:
    with pytest.raises(BundleError) as caught:
        load_bundle(name, tiny.parent)
    assert caught.value.code == "bundle.name"


def test_a_missing_bundle_is_answered_with_those_there_are(tiny: Path) -> None:
    with pytest.raises(BundleError, match="tiny") as caught:
        load_bundle("huge", tiny.parent)
    assert caught.value.code == "bundle.missing"


def test_a_bundle_without_a_card_is_refused(tiny: Path) -> None:
    (tiny / "CARD.md").write_text(" \n")
    assert code_of(tiny) == "bundle.card"
    (tiny / "CARD.md").unlink()
    assert code_of(tiny) == "bundle.card"


@pytest.mark.parametrize("licence", [None, "", "  ", 3])
def test_a_bundle_without_a_licence_is_refused(tiny: Path, licence: object) -> None:
    assert code_of(rewritten(tiny, licence=licence)) == "bundle.licence"


@pytest.mark.parametrize("schema", [2, None, "1", True])
def test_another_schema_is_refused(tiny: Path, schema: object) -> None:
    assert code_of(rewritten(tiny, schema=schema)) == "bundle.schema"


@pytest.mark.parametrize("key", ["id", "version", "intended_use", "training_data", "domains", "networks", "files"])
def test_an_incomplete_description_is_refused(tiny: Path, key: str) -> None:
    assert code_of(rewritten(tiny, **{key: None})) == "bundle.broken"


def test_a_description_that_is_not_json_is_refused(tiny: Path) -> None:
    (tiny / "bundle.json").write_text("{")
    assert code_of(tiny) == "bundle.broken"


def test_one_flipped_bit_in_the_weights_is_refused(tiny: Path) -> None:
    path = tiny / "codec.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert code_of(tiny) == "bundle.checksum"


def test_missing_and_truncated_weights_are_refused(tiny: Path) -> None:
    path = tiny / "codec.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert code_of(tiny) == "bundle.checksum"
    path.unlink()
    assert code_of(tiny) == "bundle.checksum"


@pytest.mark.parametrize("name", ["codec.pt", "codec.pkl", "codec.bin", "codec", "../codec.safetensors", "a/b.safetensors"])
def test_pickles_and_files_elsewhere_are_refused_before_they_are_opened(tiny: Path, name: str) -> None:
    path = tiny / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickle.dumps([1]))
    known = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}
    assert code_of(rewritten(tiny, files={name: known})) == "bundle.pickle"


def test_a_pickle_under_a_safetensors_name_is_not_loaded(tiny: Path) -> None:
    path = tiny / "codec.safetensors"
    path.write_bytes(pickle.dumps({"conv.weight": 1}))
    known = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}
    bundle = load_bundle(rewritten(tiny, files={path.name: known}))
    with pytest.raises(BundleError) as caught:
        bundle.weights("codec")
    assert caught.value.code == "bundle.broken"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5])
def test_weights_that_half_precision_cannot_hold_are_not_written(tmp_path: Path, value: float) -> None:
    with pytest.raises(BundleError, match="conv"):
        write_bundle(tmp_path / "bad", description(), {"codec": {"conv": torch.tensor([value])}}, "# Card\n")
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_that_would_be_refused_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        write_bundle(tmp_path / "bad", description() | {"licence": ""}, weights(), "# Card\n")
    with pytest.raises(BundleError):
        write_bundle(tmp_path / "bad", description(), weights(), "")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_bundle_is_replaced_only_when_asked(tiny: Path) -> None:
    with pytest.raises(OutputError):
        write_bundle(tiny, description() | {"version": "2.0.0"}, weights(), "# Card\n")
    assert load_bundle(tiny).version == "1.2.0"
    write_bundle(tiny, description() | {"version": "2.0.0"}, weights(), "# Card\n", overwrite=True)
    assert load_bundle(tiny).version == "2.0.0"


def test_the_same_bundle_is_the_same_bytes(tmp_path: Path) -> None:
    one, two = (write_bundle(tmp_path / name, description(), weights(), "# Card\n") for name in ("one", "two"))
    for name in ("bundle.json", "CARD.md", "codec.safetensors"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_bundles_are_listed_and_found_through_the_environment(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tiny.parent / "not-a-bundle").mkdir()
    assert list_bundles(tiny.parent) == ("tiny",)
    monkeypatch.setenv(MODELS_VARIABLE, str(tiny.parent))
    assert "tiny" in list_bundles()
    assert isinstance(load_bundle("tiny"), Bundle)


def test_reading_a_description_does_not_wait_for_torch(tiny: Path) -> None:
    code = (
        "import sys; from TumorSynthLib.bundle import load_bundle; load_bundle('tiny').domains; print('torch' in sys.modules)"
    )
    environment = os.environ | {MODELS_VARIABLE: str(tiny.parent), "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "False"
