"""The radiologist's words: what they ask for, that they read back what they wrote, and where they contradict each other."""

import math
import unittest

from TumorSynthLib.errors import RequestError
from TumorSynthLib.feature_names import SHAPE_FEATURES, TEXTURE_FEATURES
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.presets import PRESETS, presetChanges
from TumorSynthSlicer.words import (
    KNOBS,
    asked,
    changesFor,
    contradiction,
    featuresOf,
    intensityWord,
    knobLimits,
    knobNamed,
    knobRange,
    knobValue,
    unit,
)

RANGES = {
    "shape_VoxelVolume": {"low": 2000.0, "middle": 20000.0, "high": 600000.0},
    "shape_MajorAxisLength": {"low": 16.0, "middle": 36.0, "high": 115.0},
    "shape_Sphericity": {"low": 0.71, "middle": 0.84, "high": 0.89},
    "shape_Elongation": {"low": 0.65, "middle": 0.86, "high": 0.97},
    "firstorder_Mean": {"low": -95.0, "middle": 29.0, "high": 55.0},
    "firstorder_Variance": {"low": 36.0, "middle": 289.0, "high": 40000.0},
    "glcm_Correlation": {"low": 0.07, "middle": 0.37, "high": 0.68},
}
CT = {"id": "abdomen-ct", "organ": "abdomen", "modality": "CT", "unit": "HU"}
FLAIR = {"id": "brain-flair", "organ": "brain", "modality": "MR-FLAIR", "unit": "% of the scan's range"}
PET = {"id": "soft-tissue-pet", "organ": "soft tissue", "modality": "PET-FDG", "unit": "SUV"}


class WordsTest(unittest.TestCase):
    """Knobs and features."""

    def setUp(self) -> None:
        self.lesion = Lesion("L1", "One", "point")

    def test_every_knob_reads_back_what_it_wrote(self) -> None:
        for knob in KNOBS:
            value = {"sphericity": 0.7, "elongation": 0.6, "coarseness": -0.25}.get(knob.name, 37.5)
            changed = self.lesion.withChanges(**changesFor(self.lesion, knob, value))
            with self.subTest(knob.name):
                self.assertAlmostEqual(asked(changed, knob), value, places=9)
                freed = changed.withChanges(**changesFor(changed, knob, None))
                self.assertIn(
                    asked(freed, knob),
                    (
                        None,
                        0.0,
                    )
                    if knob.kind == "field"
                    else (None,),
                )

    def test_knobs_ask_for_features_that_exist(self) -> None:
        for knob in KNOBS:
            for name in knob.features:
                self.assertIn(name, (*SHAPE_FEATURES, *TEXTURE_FEATURES))

    def test_a_ball_of_30_mm_has_a_diameter_of_30_mm_and_14_ml(self) -> None:
        # PyRadiomics: MajorAxisLength = 4 sqrt(lambda), and lambda of a solid ball is r^2 / 5.
        measured = {"shape_MajorAxisLength": 4.0 * math.sqrt(15.0**2 / 5.0), "shape_VoxelVolume": 4.0 / 3.0 * math.pi * 15.0**3}
        self.assertAlmostEqual(knobValue(knobNamed("diameter"), measured), 30.0)
        self.assertAlmostEqual(knobValue(knobNamed("volume"), measured), 14.137, places=3)

    def test_heterogeneity_is_the_standard_deviation_in_the_unit_of_the_image(self) -> None:
        knob = knobNamed("heterogeneity")
        self.assertEqual(featuresOf(knob, 20.0), {"firstorder_Variance": 400.0})
        self.assertEqual(knobValue(knob, {"firstorder_Variance": 400.0}), 20.0)
        self.assertEqual((unit(knob, CT), unit(knob, FLAIR), unit(knob, PET), unit(knob, None)), ("HU", "%", "SUV", ""))

    def test_negative_attenuation_stays_negative(self) -> None:
        self.assertEqual(featuresOf(knobNamed("attenuation"), -90.0), {"firstorder_Mean": -90.0})
        self.assertEqual(knobValue(knobNamed("attenuation"), {"firstorder_Mean": -90.0}), -90.0)

    def test_volume_is_asked_once_whatever_its_name_was(self) -> None:
        lesion = self.lesion.withChanges(shape={"shape_VoxelVolume": 4000.0, "sphericity": 0.8})
        self.assertEqual(asked(lesion, knobNamed("volume")), 4.0)
        self.assertEqual(changesFor(lesion, knobNamed("volume"), 6.0), {"shape": {"sphericity": 0.8, "volume_ml": 6.0}})

    def test_a_core_keeps_its_mean_when_its_share_changes_and_goes_with_it(self) -> None:
        lesion = self.lesion.withChanges(**changesFor(self.lesion, knobNamed("coreAttenuation"), 12.0))
        self.assertEqual(lesion.core, {"share": 0.3, "texture": {"firstorder_Mean": 12.0}})
        lesion = lesion.withChanges(**changesFor(lesion, knobNamed("coreShare"), 50.0))
        self.assertEqual(lesion.core, {"share": 0.5, "texture": {"firstorder_Mean": 12.0}})
        self.assertEqual(changesFor(lesion, knobNamed("coreShare"), None), {"core": {}})

    def test_impossible_values_are_refused(self) -> None:
        bad = {
            "volume": 0.0,
            "sphericity": 1.1,
            "heterogeneity": -1.0,
            "coreShare": 99.0,
            "rim": 101.0,
            "attenuation": math.nan,
        }
        for name, value in bad.items():
            with self.subTest(name), self.assertRaisesRegex(RequestError, "impossible"):
                changesFor(self.lesion, knobNamed(name), value)
        with self.assertRaises(RequestError):
            changesFor(self.lesion, knobNamed("volume"), True)
        with self.assertRaises(RequestError):
            knobNamed("roundness")

    def test_ranges_are_in_the_radiologists_units(self) -> None:
        self.assertEqual(knobRange(knobNamed("volume"), RANGES), (2.0, 20.0, 600.0))
        self.assertEqual(knobRange(knobNamed("heterogeneity"), RANGES), (6.0, 17.0, 200.0))
        self.assertEqual(knobRange(knobNamed("coreShare"), None), (10.0, 30.0, 60.0))
        self.assertIsNone(knobRange(knobNamed("volume"), None))
        self.assertIsNone(knobRange(knobNamed("rim"), RANGES))

    def test_sliders_reach_beyond_the_plausible_but_not_to_the_impossible(self) -> None:
        for knob in KNOBS:
            limits, found = knobLimits(knob, RANGES), knobRange(knob, RANGES)
            if limits is None:
                continue
            with self.subTest(knob.name):
                self.assertTrue(knob.low <= limits[0] < limits[1] <= knob.high)
                for end in limits:
                    changesFor(self.lesion, knob, end)
                if found is not None:
                    self.assertTrue(limits[0] <= found[0] and found[2] <= limits[1])

    def test_brightness_has_the_name_of_the_modality(self) -> None:
        words = [intensityWord(domain) for domain in (CT, FLAIR, PET, None)]
        self.assertEqual(words, ["attenuation", "signal", "uptake", "attenuation"])


class ContradictionTest(unittest.TestCase):
    """Size and proportions."""

    def test_an_ellipsoid_contradicts_nothing(self) -> None:
        a, b, c = 20.0, 14.0, 10.0
        shape = {"volume_ml": 4.0 / 3.0 * math.pi * a * b * c / 1000.0, "shape_MajorAxisLength": 4.0 * a / math.sqrt(5.0)}
        self.assertEqual(contradiction({**shape, "elongation": b / a, "flatness": c / a}), "")
        self.assertEqual(contradiction({**shape, "elongation": b / a}), "")

    def test_more_volume_than_its_axes_hold_is_told(self) -> None:
        self.assertIn("14.1 mL", contradiction({"volume_ml": 20.0, **featuresOf(knobNamed("diameter"), 30.0)}))
        shape = {"volume_ml": 10.0, **featuresOf(knobNamed("diameter"), 30.0)}
        self.assertEqual(contradiction(shape), "")
        self.assertIn("3.53 mL", contradiction({**shape, "elongation": 0.5}))

    def test_flatness_above_elongation_is_told(self) -> None:
        self.assertIn("Flatness", contradiction({"flatness": 0.8, "elongation": 0.6}))


class PresetTest(unittest.TestCase):
    """Typical tumors."""

    def setUp(self) -> None:
        self.lesion = Lesion("L1", "One", "point", shape={"flatness": 0.3}, rim=0.9)

    def test_presets_lie_in_the_plausible_range_and_contradict_nothing(self) -> None:
        for name in PRESETS:
            changed = self.lesion.withChanges(**presetChanges(name, self.lesion, RANGES, CT))
            self.assertEqual(contradiction(changed.shape), "")
            self.assertNotIn("flatness", changed.shape)
            for knob in KNOBS:
                value, found = asked(changed, knob), knobRange(knob, RANGES)
                if value is not None and found is not None:
                    with self.subTest(preset=name, knob=knob.name):
                        self.assertTrue(found[0] - 1e-9 <= value <= found[2] + 1e-9)

    def test_a_necrotic_core_is_dark_but_bright_where_fluid_is(self) -> None:
        core = knobNamed("coreAttenuation")
        dark = self.lesion.withChanges(**presetChanges("necrotic", self.lesion, RANGES, CT))
        bright = self.lesion.withChanges(**presetChanges("necrotic", self.lesion, RANGES, FLAIR))
        whole = asked(dark, knobNamed("attenuation"))
        self.assertLess(asked(dark, core), whole)
        self.assertGreater(asked(bright, core), asked(dark, core))

    def test_without_ranges_a_preset_leaves_free_what_it_cannot_know(self) -> None:
        changed = self.lesion.withChanges(**presetChanges("infiltrative, irregular", self.lesion, None))
        self.assertEqual((changed.shape, changed.texture, changed.rim), ({}, {}, 0.7))
        with self.assertRaises(RequestError):
            presetChanges("square", self.lesion, RANGES)
