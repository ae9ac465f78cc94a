"""What a bridge is trained on: encodings, crops and flips that change, and healthy regions that never run out."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny_data
import tiny_training
import torch

from TumorSynthLib.configs import DOMAINS, TEXTURE_TOKENS, DrawConfig
from TumorSynthLib.dataset import (
    CHANGED,
    HEALTHY,
    TUMOR,
    TrainingData,
    flip,
    load_training_data,
    save_training_data,
)
from TumorSynthLib.domains import tissue
from TumorSynthLib.errors import DataError
from TumorSynthLib.features import measure_texture
from TumorSynthLib.resample import resample
from TumorSynthLib.shape_field import BALL_VOLUME
from TumorSynthLib.train.codec import load_codec
from TumorSynthLib.train.common import is_validation
from TumorSynthLib.train.conditions import Conditions, draw_condition, region_weights, stacked
from TumorSynthLib.train.draws import RegionDraws, prepared
from TumorSynthLib.train.feature_scales import bundle_scales, fitted_scales, outside, restored_scales, stored_scales
from TumorSynthLib.train.fresh import FreshRegions, says_where_tumors_are
from TumorSynthLib.train.latents import AS_PREPARED, LatentCache, Wanted
from TumorSynthLib.train.mask_bank import MaskBank, mask_bank
from TumorSynthLib.train.wider import wide_enough
from TumorSynthLib.volume import Geometry, work_grid

SIZE = tiny_data.SMALL.size


@pytest.fixture(scope="module")
def file(content: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_training.write_data(content, tmp_path_factory.mktemp("file"))


def cache(codec: Path, crop: int = SIZE, memory_gb: float = 1.0) -> LatentCache:
    return LatentCache(load_codec(codec, "cpu"), "cpu", "fp32", (crop,) * 3, memory_gb)


def fresh(content: TrainingData, file: Path, seed: int = 0) -> FreshRegions:
    return FreshRegions(content, mask_bank(file, content), TEXTURE_TOKENS, seed, 8)


def draws(content: TrainingData, file: Path, settings: DrawConfig) -> RegionDraws:
    conditions = Conditions(content, TEXTURE_TOKENS)
    held = np.array([is_validation(content.images[region.image].patient) for region in content.regions])
    weights = region_weights(conditions.kind, conditions.domain, np.flatnonzero(~held))
    return RegionDraws(content, conditions, weights, settings, fresh(content, file) if settings.fresh else None)


def test_the_start_of_the_bridge_knows_nothing_of_the_hidden_tissue(content: TrainingData, codec: Path) -> None:
    first = content.regions[0].image
    core = tiny_data.ellipsoid(tiny_data.CENTER, (12.0, 10.0, 11.0))
    hot = replace(content.images[first], counts=content.images[first].counts + np.int16(1000) * core)
    changed = replace(content, images=tuple(hot if n == first else image for n, image in enumerate(content.images)))
    plain, hot_one = (cache(codec).batch([prepared(c, 0)]) for c in (content, changed))
    assert torch.equal(plain.y, hot_one.y) and not torch.equal(plain.x0, hot_one.x0)
    outside_ = (plain.support == 0).expand_as(plain.y)
    assert outside_.any() and float((plain.x0 - plain.y)[outside_].abs().max()) < 0.05 * float((plain.x0 - plain.y).abs().max())


def test_what_is_kept_in_memory_changes_no_encoding(content: TrainingData, codec: Path) -> None:
    wanted = [prepared(content, index, variant) for index in range(3) for variant in (1, 2)]
    roomy, narrow = cache(codec, 16), cache(codec, 16, memory_gb=1e-9)
    whole = roomy.batch([*wanted, *wanted])
    assert roomy.encoded == 6 and len(roomy.items) == 6
    parts = [narrow.batch([item]) for item in reversed([*wanted, *wanted])]
    assert narrow.encoded == 12 and len(narrow.items) == 1, "there is room for one alone"
    for name in ("x0", "y", "masks", "support"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(part, name) for part in reversed(parts)]))
    assert all(tensor.dtype == torch.float16 for tensor in next(iter(roomy.items.values())))


def test_a_variant_is_a_crop_with_some_of_the_mask_in_it_flipped_or_not(content: TrainingData, codec: Path) -> None:
    """An encoder that keeps every voxel shows where each crop came from."""
    small = cache(codec, 16)
    found = [small.batch([prepared(content, 0, variant)]) for variant in range(1, 9)]
    assert all(float(one.masks[:, :1].sum()) > 0.0 for one in found)
    sums = {round(float(one.x0.sum()), 3) for one in found}
    assert len(sums) > 4, "variants differ"
    whole = cache(codec)
    volumes = {round(float(whole.batch([prepared(content, 0, variant)]).masks[:, :1].sum()), 3) for variant in range(4)}
    assert len(volumes) == 1, "without a crop a flip keeps the mask's volume"
    turned = {whole.batch([prepared(content, 0, variant)]).masks.numpy().tobytes() for variant in range(8)}
    assert 2 <= len(turned) <= 8


def test_a_larger_crop_than_the_working_grid_shows_more_of_the_surroundings(content: TrainingData) -> None:
    wide = wide_enough(content, (40, 48, 32))
    assert wide.work.size == 48 and wide_enough(content, (32, 16, 16)) is content
    for index in (0, len(content.regions) - 1):
        assert np.array_equal(wide.mask(index)[8:-8, 8:-8, 8:-8], content.mask(index))
        assert wide.mask(index).sum() == content.mask(index).sum()
        assert np.allclose(wide.patch(index)[8:-8, 8:-8, 8:-8], content.patch(index), atol=2e-3)


def test_as_prepared_means_without_a_flip(content: TrainingData, codec: Path) -> None:
    whole = cache(codec).batch([prepared(content, 0, AS_PREPARED)])
    mask = torch.from_numpy(content.mask(0)).float()[None, None]
    assert torch.allclose(whole.masks[:, :1], torch.nn.functional.avg_pool3d(mask, 4), atol=1e-3)


def test_windows_slide_and_depend_on_the_step_alone(content: TrainingData, file: Path) -> None:
    settings = DrawConfig(variants=3, renew=2.0, fresh=0.5, window=4, share=1.0)
    source = draws(content, file, settings)

    def keys(step: int) -> set[tuple[int, int, int]]:
        return {source.sample(np.random.default_rng((0, step, item)), step)[1].key for item in range(60)}

    first, later = keys(0), keys(400)
    assert first == keys(0), "the same step draws the same"
    assert {variant for kind, _, variant in first if kind == 0} == {1}, "every region starts with one crop"
    late = {variant for kind, _, variant in later if kind == 0}
    turns = 400 * settings.renew / len(source.rows)
    assert len(late) <= 4 and turns - 3 < min(late) and max(late) <= turns + 2
    assert {number for kind, number, _ in first if kind == 1} == {0, 1, 2, 3}
    assert {number for kind, number, _ in later if kind == 1} == {200, 201, 202, 203}
    assert not any(source.conditions.kind[index] == HEALTHY for kind, index, _ in later if kind == 0), (
        "all healthy ones are fresh"
    )


def test_without_augmentation_every_region_stays_as_prepared(content: TrainingData, file: Path) -> None:
    source = draws(content, file, DrawConfig(variants=0, fresh=0.0))
    keys = [source.sample(np.random.default_rng(item), 10_000)[1].key for item in range(500)]
    assert {(kind, variant) for kind, _, variant in keys} == {(0, AS_PREPARED)}
    assert {index for _, index, _ in keys} == set(source.rows.tolist())


def test_a_fresh_region_is_clear_of_every_tumor_and_knows_its_own_features(content: TrainingData, file: Path) -> None:
    source = fresh(content, file)
    found = [one for one in map(source.region, range(12)) if one is not None]
    assert len(found) >= 9
    tumors = tiny_data.labels() > 0
    for one in found:
        image = content.images[one.region.image]
        assert one.region.kind == HEALTHY and not is_validation(image.patient)
        grid = work_grid(image.geometry, np.array(one.region.center), one.region.spacing, SIZE)
        mask = flip(np.unpackbits(one.mask).reshape((SIZE,) * 3).astype(np.float32), one.region.flips)
        inside = resample(mask, grid, image.geometry, outside=0.0) > 0.6
        if image.id.endswith("PET_FDG"):
            continue
        assert not (inside & tumors).any()
        assert tissue(image.counts * np.float32(image.step), image.domain)[inside].mean() > 0.85
    image = content.images[found[0].region.image]
    u = image.counts * np.float32(image.step)
    grid = work_grid(image.geometry, np.array(found[0].region.center), found[0].region.spacing, SIZE)
    mask = flip(np.unpackbits(found[0].mask).reshape((SIZE,) * 3).astype(np.float32), found[0].region.flips)
    again = measure_texture(u, resample(mask, grid, image.geometry, outside=0.0) > 0.5, image.geometry, image.domain.radiomics)
    spread = float(u[tissue(u, image.domain)].std())
    assert found[0].features[0] == pytest.approx(again["firstorder_Mean"], abs=0.3 * spread)


def test_a_fresh_region_is_the_same_whoever_asks_and_whenever(content: TrainingData, file: Path) -> None:
    one, other = fresh(content, file), fresh(content, file)
    forward, backward = [one.region(n) for n in range(5)], [other.region(n) for n in reversed(range(5))][::-1]
    for a, b in zip(forward, backward, strict=True):
        assert (a is None) == (b is None)
        assert a is None or b is None or (vars(a.region) == vars(b.region) and np.array_equal(a.features, b.features))
    assert len({a.region.center for a in forward if a is not None}) >= 4
    other_seed = fresh(content, file, seed=1).region(0)
    assert forward[0] is not None and other_seed is not None and other_seed.region.center != forward[0].region.center
    v, mask = one.load(next(n for n, a in enumerate(forward) if a is not None))
    assert v.shape == mask.shape == (SIZE,) * 3 and mask.any() and np.isfinite(v).all()


def test_fresh_regions_reach_the_bridge_as_examples_of_both_paths(content: TrainingData, file: Path, codec: Path) -> None:
    source = draws(content, file, DrawConfig(fresh=0.5, window=4, share=1.0))
    rows, wanted = zip(*(source.sample(np.random.default_rng(n), 0) for n in range(40)), strict=True)
    chosen = [n for n, one in enumerate(wanted) if one.key[0] == 1][:3]
    latents = cache(codec).batch([wanted[n] for n in chosen])
    assert float(latents.masks[:, :1].sum()) > 0.0 and torch.isfinite(latents.x0).all()
    for n in chosen:
        assert rows[n].kind == HEALTHY and rows[n].known.all() and np.abs(rows[n].values).max() <= 4.0


def test_scans_of_an_older_file_lend_no_tumor_as_healthy_tissue(content: TrainingData, file: Path) -> None:
    """It has no voxels of tumors: those of its tumor regions are kept clear of."""
    older = replace(content, images=tuple(replace(image, tumors=None) for image in content.images))
    assert says_where_tumors_are(content.images) and not says_where_tumors_are(older.images)
    source = fresh(older, file)
    first = next(n for n in source.numbers if any(r.kind == TUMOR and r.image == n for r in content.regions))
    covered = np.unpackbits(source.tumors[first])[: tiny_data.labels().size].reshape(tiny_data.SIZE).astype(bool)
    assert covered[tiny_data.labels() == 1].mean() > 0.97 and covered.mean() < 0.2


def test_a_training_file_remembers_tumors_and_licences(content: TrainingData, tmp_path: Path) -> None:
    images = (replace(content.images[0], licence="CC BY 3.0"), *content.images[1:])
    save_training_data(tmp_path / "data.npz", replace(content, images=images))
    read = load_training_data(tmp_path / "data.npz")
    assert [image.licence for image in read.images] == ["CC BY 3.0", *[image.licence for image in content.images[1:]]]
    tumors = np.unpackbits(read.images[0].tumors)[: tiny_data.labels().size].reshape(tiny_data.SIZE)
    assert np.array_equal(tumors > 0, tiny_data.labels() > 0)


def test_shapes_from_either_source_get_the_radius_asked_for(content: TrainingData, file: Path, tmp_path: Path) -> None:
    geometry = Geometry((60, 60, 60), np.diag([1.0, 1.0, 1.0, 1.0]))
    for bank in (mask_bank(file, content), mask_bank(tmp_path / "alone.npz", content)):
        for seed in range(4):
            mask, box = bank.draw(np.random.default_rng(seed), geometry, np.full(3, 30.0), 12.0)
            assert mask.sum() == pytest.approx(BALL_VOLUME * 12.0**3, rel=0.2)
            center = np.argwhere(mask).mean(axis=0) + box.start
            assert np.abs(center - 30.0).max() < 1.5
    none = replace(content, regions=(), masks=content.masks[:0], features=content.features[:0])
    with pytest.raises(DataError) as caught:
        mask_bank(tmp_path / "alone.npz", none)
    assert caught.value.code == "data.shapes"


def test_a_shape_at_the_edge_of_a_scan_is_cut_by_it() -> None:
    ball = np.linalg.norm(np.indices((21,) * 3) - 10.0, axis=0) < 8.0
    affine = np.eye(4)
    affine[:3, 3] = -10.0
    bank = MaskBank([np.where(ball, 127, -127).astype(np.int8)], affine[None], np.array([ball.sum()], dtype=float))
    mask, box = bank.draw(np.random.default_rng(0), Geometry((40, 40, 40), np.eye(4)), np.array([0.0, 20.0, 20.0]), 8.0)
    assert box.start[0] == 0 and mask.sum() == pytest.approx(0.5 * ball.sum(), rel=0.15)


def test_held_out_patients_are_never_drawn_and_tumors_are_half_of_what_is(content: TrainingData, file: Path) -> None:
    source = draws(content, file, DrawConfig(fresh=0.5, window=64))
    held = {n for n, region in enumerate(content.regions) if is_validation(content.images[region.image].patient)}
    conditions = source.conditions
    weights = region_weights(conditions.kind, conditions.domain, np.array(sorted(set(range(len(content.regions))) - held)))
    assert held and weights.sum() == pytest.approx(1.0) and weights[conditions.kind == HEALTHY].sum() == pytest.approx(0.5)
    keys = [source.sample(np.random.default_rng(n), 0)[1].key for n in range(200)]
    assert not held & {index for kind, index, _ in keys if kind == 0}
    assert source.fresh is not None
    shown = {source.fresh.region(number).region.image for kind, number, _ in keys if kind == 1}
    assert shown and not any(is_validation(content.images[n].patient) for n in shown)


def test_a_condition_gives_tumors_the_tumor_path_and_healthy_tissue_both() -> None:
    kind = np.array([0, 1] * 1000 + [HEALTHY] * 2000)
    present, tumor = draw_condition(np.random.default_rng(0), kind, 10, 0.1)
    assert tumor[:2000].all() and tumor[2000:].mean() == pytest.approx(0.1, abs=0.03)
    assert not present[~tumor].any()
    bare = ~present[:2000].any(axis=1)
    assert 0.13 < bare.mean() < 0.25, "some tumors are shown without features, for guidance"
    assert present[2000:][tumor[2000:]].mean() > 0.6


def test_features_are_scored_within_their_domain_and_unknown_ones_are_absent(content: TrainingData) -> None:
    gaps = content.features.copy()
    gaps[0, content.names.index(TEXTURE_TOKENS[3])] = np.nan
    conditions = Conditions(replace(content, features=gaps), TEXTURE_TOKENS)
    assert not conditions.known[0, 3] and conditions.values[0, 3] == 0.0
    rows = [conditions.row(0), conditions.row(1)]
    batch = stacked(rows, torch.zeros(2, 2, 8, 8, 8), np.ones((2, len(TEXTURE_TOKENS)), bool), np.ones(2, bool))
    assert batch.present[0].tolist() == [n != 3 for n in range(len(TEXTURE_TOKENS))] and batch.present[1].all()
    assert batch.spacing.tolist() == pytest.approx([region.spacing for region in content.regions[:2]])
    assert float(np.abs(conditions.values).max()) <= 4.0
    features = content.features[1, [content.names.index(name) for name in TEXTURE_TOKENS]]
    again = conditions.fresh(features, rows[1].domain, 1.0, content.images[content.regions[1].image].intensity)
    assert np.array_equal(again.values, rows[1].values), "a fresh region with the same features has the same scores"
    assert again.level == rows[1].level


class KnownBundle:
    """As much of a bundle as feature scales need."""

    def __init__(self, content: TrainingData) -> None:
        self.scales = fitted_scales(content, TEXTURE_TOKENS)
        self.domains = DOMAINS

    def statistics(self, domain: str) -> dict[str, dict[str, list[float]]]:
        return {n: {"quantiles": list(s.quantiles)} for n, s in zip(TEXTURE_TOKENS, self.scales[domain], strict=True)}


def many(content: TrainingData, factor: float) -> TrainingData:
    """160 CT regions, their features times a factor."""
    images = [n for n, image in enumerate(content.images) if image.domain.id == "soft-tissue-ct"]
    ct = [n for n, region in enumerate(content.regions) if region.image in images and region.kind != CHANGED]
    rows = np.resize(ct, 160)
    noise = np.random.default_rng(0).normal(1.0, 0.02, (160, 1)).astype(np.float32)
    features = factor * noise * content.features[rows]
    return replace(content, regions=tuple(content.regions[n] for n in rows), masks=content.masks[rows], features=features)


def test_a_fine_tuning_keeps_the_bundles_scales_unless_a_domain_is_new(content: TrainingData) -> None:
    alike, strange, few = many(content, 1.0), many(content, 30.0), replace(content, features=30.0 * content.features)
    bundle = KnownBundle(alike)
    ct = bundle.scales["soft-tissue-ct"]
    raw = strange.features[:, [strange.names.index(name) for name in TEXTURE_TOKENS]]
    assert outside(raw, ct) > 0.5 and outside(raw / 30.0, ct) < 0.05
    kept, refitted = bundle_scales(alike, TEXTURE_TOKENS, bundle)  # type: ignore[arg-type]
    assert refitted == () and Conditions(alike, TEXTURE_TOKENS, kept).scales["soft-tissue-ct"] == ct
    kept, refitted = bundle_scales(strange, TEXTURE_TOKENS, bundle)  # type: ignore[arg-type]
    assert refitted == ("soft-tissue-ct",)
    own = Conditions(strange, TEXTURE_TOKENS, kept).scales
    assert own["soft-tissue-ct"] == fitted_scales(strange, TEXTURE_TOKENS)["soft-tissue-ct"]
    assert own["soft-tissue-t1"] == bundle.scales["soft-tissue-t1"], "other domains stay"
    mixed = [replace(region, kind=CHANGED) if n % 2 else region for n, region in enumerate(alike.regions)]
    half = replace(alike, regions=tuple(mixed), features=np.where([[n % 2] for n in range(160)], 30.0, 1.0) * alike.features)
    double = replace(half, regions=half.regions * 2, features=np.tile(half.features, (2, 1)))
    assert bundle_scales(double, TEXTURE_TOKENS, bundle)[1] == (), "changed looks are no new domain"  # type: ignore[arg-type]
    kept, refitted = bundle_scales(few, TEXTURE_TOKENS, bundle)  # type: ignore[arg-type]
    assert refitted == () and kept["soft-tissue-ct"] == ct, "too few regions to refit with"


def test_scales_come_back_from_a_checkpoint_as_they_were(content: TrainingData) -> None:
    chosen = fitted_scales(content, TEXTURE_TOKENS)
    assert restored_scales(stored_scales(chosen)) == chosen


def test_an_encoding_is_seeded_by_what_it_is_kept_under(content: TrainingData, codec: Path) -> None:
    def load() -> tuple[np.ndarray, np.ndarray]:
        return content.patch(0), content.mask(0)

    small = partial(cache, codec, 16)
    one, other = small().batch([Wanted((0, 5, 3), load)]), small().batch([Wanted((0, 5, 3), load)])
    assert torch.equal(one.x0, other.x0)
    assert any(not torch.equal(one.x0, small().batch([Wanted((0, 5, n), load)]).x0) for n in (4, 5, 6))
