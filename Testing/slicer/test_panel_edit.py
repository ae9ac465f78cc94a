"""The panel's edit: operations, sliders, presets, examples, and the table of all features, always in step with the lesion."""

import time
from types import SimpleNamespace

import qt
import slicer
from panel_fakes import CT, FakeSession, PanelCase

from TumorSynthLib.errors import RequestError
from TumorSynthSlicer.knobs import KNOBS
from TumorSynthSlicer.lesion import OPERATIONS
from TumorSynthSlicer.panel.edit_section import EditSection
from TumorSynthSlicer.panel.features_section import ASK, HIGH, MEASURED, VALUE, FeaturesSection, typedNumber
from TumorSynthSlicer.panel.operation_choice import parsedVolumes

RANGES = {
    "shape_VoxelVolume": {"low": 2000.0, "middle": 10000.0, "high": 60000.0},
    "shape_MajorAxisLength": {"low": 15.0, "middle": 27.0, "high": 60.0},
    "shape_Sphericity": {"low": 0.5, "middle": 0.7, "high": 0.85},
    "shape_Elongation": {"low": 0.5, "middle": 0.75, "high": 0.95},
    "firstorder_Mean": {"low": 20.0, "middle": 50.0, "high": 90.0},
    "firstorder_Variance": {"low": 100.0, "middle": 400.0, "high": 1600.0},
    "glcm_Correlation": {"low": 0.2, "middle": 0.4, "high": 0.7},
}
UNUSUAL = "unusual"


class LivingSession(FakeSession):
    """Changes its lesions, as the session does, and shows that soon after."""

    def __init__(self) -> None:
        super().__init__()
        self.outline = SimpleNamespace(measured={}, message="")
        self.domain, self.domains, self.ranges = "abdomen-ct", [CT], RANGES
        self.updates = 0

    def update(self, key, **changes):
        """Change a lesion."""
        self.updates += 1
        self.lesions.update(key, **changes)
        self.changed.emit()

    def select(self, key):
        """Edit another lesion."""
        self.lesions.select(key)
        self.changed.emit()


class EditCase(PanelCase):
    """Both sections over a session with one lesion."""

    def setUp(self) -> None:
        super().setUp()
        self.session = LivingSession()
        self.lesion = self.session.lesions.add("segment", "edit", seed=7)
        self.edit, self.features = EditSection(self.ui, self.session), FeaturesSection(self.ui, self.session)
        self.ui.featuresBox.collapsed = False
        self.session.changed.connect(self.refresh)
        self.addCleanup(self.edit.cleanup)
        self.failures = []
        self.session.failed.connect(self.failures.append)
        self.refresh()

    def refresh(self) -> None:
        """What the panel does after every change."""
        self.edit.refresh()
        self.features.refresh()

    @property
    def now(self):
        """The lesion as it is."""
        return self.session.lesions.get(self.lesion.key)

    def change(self, **changes) -> None:
        """Change the lesion from elsewhere."""
        self.session.lesions.update(self.lesion.key, **changes)
        self.refresh()

    def row(self, feature):
        """Row of a feature in the table."""
        return self.features._features.index(feature)

    def tableText(self, feature, column):
        """What the table shows."""
        return self.ui.featureTable.item(self.row(feature), column).text()


class OperationTest(EditCase):
    """What is done."""

    def radios(self):
        """Radio buttons by operation."""
        return {operation: getattr(self.ui, f"{operation}Radio") for operation in OPERATIONS}

    def test_a_click_chooses_the_operation_and_has_the_tumor_measured(self):
        self.ui.removeRadio.click()
        self.assertEqual(self.now.operation, "remove")
        self.assertTrue(self.ui.removeRadio.checked)
        self.assertEqual(self.session.calls, [("measure", self.lesion.key)])

    def test_at_a_point_only_a_new_tumor_is_possible_and_the_others_say_why(self):
        self.session.lesions.add("point")
        self.refresh()
        enabled = {name: radio.enabled for name, radio in self.radios().items()}
        self.assertEqual(enabled, {"insert": True, "edit": False, "remove": False, "move": False, "grow": False})
        self.assertIn("Only a segment", self.ui.removeRadio.toolTip)
        self.assertTrue(self.ui.insertRadio.checked)

    def test_while_it_is_being_made_nothing_can_be_changed(self):
        self.change(state="running")
        widgets = [*self.radios().values(), self.ui.volumeSlider, self.ui.volumeCheck, self.ui.seedSpin, self.ui.presetBox]
        self.assertEqual([widget.enabled for widget in widgets], [False] * len(widgets))
        self.assertIn("Wait", self.ui.volumeSlider.toolTip)
        self.change(state="draft")
        self.assertEqual([widget.enabled for widget in widgets], [True] * len(widgets))
        self.assertNotIn("Wait", self.ui.volumeSlider.toolTip)

    def test_without_a_lesion_everything_says_to_choose_one(self):
        self.session.lesions.remove(self.lesion.key)
        self.refresh()
        self.assertFalse(self.ui.insertRadio.enabled or self.ui.volumeSlider.enabled)
        self.assertIn("Choose a lesion", self.ui.insertRadio.toolTip)

    def test_sliders_that_an_operation_has_no_use_for_say_so(self):
        for operation, possible in {
            "insert": {knob.name for knob in KNOBS},
            "remove": set(),
            "move": {"rim", "massEffect"},
            "grow": {knob.name for knob in KNOBS if knob.kind != "shape"},
        }.items():
            self.change(operation=operation)
            self.assertEqual({knob.name for knob in KNOBS if getattr(self.ui, f"{knob.name}Slider").enabled}, possible)

    def test_the_target_of_a_move_is_a_click(self):
        self.assertFalse(self.ui.targetButton.isVisibleTo(self.widget))
        self.ui.moveRadio.click()
        self.assertTrue(self.ui.targetButton.isVisibleTo(self.widget))
        self.assertTrue(self.ui.targetButton.checked)
        logic = slicer.app.applicationLogic()
        node = slicer.mrmlScene.GetNodeByID(logic.GetSelectionNode().GetActivePlaceNodeID())
        node.AddControlPointWorld(1.0, 2.0, 3.0)
        self.wait(0.02)
        self.assertEqual(self.session.calls[-1], ("setTarget", self.lesion.key, (1.0, 2.0, 3.0)))
        self.assertFalse(self.ui.targetButton.checked)
        self.ui.targetButton.click()
        self.assertTrue(self.ui.targetButton.checked)
        self.ui.editRadio.click()
        self.assertFalse(self.ui.targetButton.checked)


class GrowTest(EditCase):
    """Volumes of a series."""

    def type(self, text):
        """Type into the line, and leave it."""
        self.ui.growEdit.text = text
        self.ui.growEdit.editingFinished.emit()

    def test_volumes_are_proposed_from_the_tumor_that_is_there(self):
        self.change(measured={"shape_VoxelVolume": 8000.0})
        self.ui.growRadio.click()
        self.assertEqual(self.now.volumesMl, [8.0, 12.0, 16.0])

    def test_what_is_typed_is_taken_over(self):
        self.ui.growRadio.click()
        self.type("4; 8.5 20")
        self.assertEqual(self.now.volumesMl, [4.0, 8.5, 20.0])
        self.assertEqual(self.ui.growUnitLabel.text, "mL")
        self.assertEqual(self.ui.growEdit.text, "4; 8.5 20")

    def test_what_is_no_volume_is_shown_and_changes_nothing(self):
        self.ui.growRadio.click()
        self.type("4, 8")
        self.type("4, eight")
        self.assertEqual(self.now.volumesMl, [4.0, 8.0])
        self.assertIn("'eight' is no volume", self.ui.growUnitLabel.text)
        self.type("4, 9")
        self.assertEqual(self.ui.growUnitLabel.text, "mL")

    def test_only_finite_positive_numbers_are_volumes(self):
        self.assertEqual(parsedVolumes(" 1e1,2"), [10.0, 2.0])
        for text in ("", " ,", "0", "-3", "nan", "inf", "4,,x", "1e9"):
            with self.assertRaises(RequestError, msg=text):
                parsedVolumes(text)


class KnobTest(EditCase):
    """Sliders."""

    def test_a_slider_that_is_moved_asks_for_its_feature(self):
        self.ui.volumeSlider.value = 12.0
        self.assertEqual(self.now.shape, {"volume_ml": 12.0})
        self.assertTrue(self.ui.volumeCheck.checked)
        self.ui.heterogeneitySlider.value = 30.0
        self.assertAlmostEqual(self.now.texture["firstorder_Variance"], 900.0)
        self.ui.rimSlider.value = 40.0
        self.assertAlmostEqual(self.now.rim, 0.4)
        self.ui.coreShareSlider.value = 20.0
        self.assertAlmostEqual(self.now.core["share"], 0.2)

    def test_the_tick_alone_asks_for_what_the_slider_shows_and_its_loss_leaves_it_free(self):
        shown = self.ui.sphericitySlider.value
        self.ui.sphericityCheck.click()
        self.assertAlmostEqual(self.now.shape["sphericity"], shown)
        self.ui.sphericityCheck.click()
        self.assertEqual(self.now.shape, {})

    def test_one_move_is_one_change(self):
        self.ui.diameterSlider.value = 40.0
        self.assertEqual(self.session.updates, 1)
        self.assertFalse(self.failures)

    def test_free_sliders_stand_at_what_is_measured_or_else_usual(self):
        self.assertAlmostEqual(self.ui.volumeSlider.value, 10.0)
        self.change(measured={"shape_VoxelVolume": 24000.0, "firstorder_Mean": 61.0})
        self.assertAlmostEqual(self.ui.volumeSlider.value, 24.0)
        self.assertAlmostEqual(self.ui.attenuationSlider.value, 61.0)
        self.assertFalse(self.ui.volumeCheck.checked)
        self.assertEqual(self.session.updates, 0)

    def test_they_follow_the_outline(self):
        self.session.outline.measured = {"shape_MajorAxisLength": 30.0}
        self.session.previewed.emit(self.lesion.key)
        self.assertAlmostEqual(self.ui.diameterSlider.value, 33.5, places=1)

    def test_the_outlines_trouble_is_told(self):
        self.session.outline.message = "The tumor does not fit into the region."
        self.session.previewed.emit(self.lesion.key)
        self.assertEqual(self.ui.volumeRange.text, "The tumor does not fit into the region.")

    def test_what_is_usual_is_told_in_the_sliders_unit_and_what_is_not_is_pointed_at(self):
        self.assertEqual(self.ui.volumeRange.text, "typical 2 to 60 mL")
        self.assertEqual(self.ui.attenuationRange.text, "typical 20 to 90 HU")
        self.assertEqual(self.ui.heterogeneityRange.text, "typical 10 to 40 HU")
        self.ui.attenuationSlider.value = 95.0
        self.assertIn(UNUSUAL, self.ui.attenuationRange.text)
        self.ui.attenuationSlider.value = 80.0
        self.assertNotIn(UNUSUAL, self.ui.attenuationRange.text)

    def test_names_and_units_follow_the_modality(self):
        self.assertEqual(self.ui.attenuationCheck.text, "Attenuation")
        self.assertIn("HU", self.ui.attenuationSlider.suffix)
        self.session.domain, self.session.domains = "pet", [{"id": "pet", "organ": "body", "modality": "PET", "unit": "SUV"}]
        self.refresh()
        self.assertEqual(self.ui.attenuationCheck.text, "Uptake")
        self.assertIn("SUV", self.ui.attenuationSlider.suffix)

    def test_the_ends_do_not_move_under_the_hand_when_what_is_usual_changes(self):
        ends = self.ui.volumeSlider.minimum, self.ui.volumeSlider.maximum
        self.assertGreater(ends[1], 60.0)
        self.session.ranges = {**RANGES, "shape_VoxelVolume": {"low": 5000.0, "middle": 9000.0, "high": 12000.0}}
        self.refresh()
        self.assertEqual((self.ui.volumeSlider.minimum, self.ui.volumeSlider.maximum), ends)
        self.assertEqual(self.ui.volumeRange.text, "typical 5 to 12 mL")
        self.change(shape={"volume_ml": 500.0})
        self.assertAlmostEqual(self.ui.volumeSlider.value, 500.0)

    def test_another_lesion_brings_its_own_values(self):
        self.ui.volumeSlider.value = 12.0
        other = self.session.lesions.add("point", shape={"sphericity": 0.6})
        self.refresh()
        self.assertFalse(self.ui.volumeCheck.checked)
        self.assertAlmostEqual(self.ui.sphericitySlider.value, 0.6)
        self.session.select(self.lesion.key)
        self.assertAlmostEqual(self.ui.volumeSlider.value, 12.0)
        self.assertNotEqual(other.key, self.lesion.key)

    def test_what_is_free_and_unknown_does_not_keep_the_value_of_another_lesion(self):
        self.session.ranges = None
        self.refresh()
        start = self.ui.coarsenessSlider.value
        self.ui.coarsenessSlider.value = 0.77
        self.session.lesions.add("point")
        self.refresh()
        self.assertAlmostEqual(self.ui.coarsenessSlider.value, start)

    def test_without_a_worker_the_sliders_work_all_the_same(self):
        self.session.ranges = None
        self.refresh()
        self.ui.volumeSlider.value = 9.0
        self.assertEqual(self.now.shape, {"volume_ml": 9.0})
        self.assertEqual(self.ui.volumeRange.text, "")
        self.assertFalse(self.ui.presetBox.enabled)
        self.assertIn("background program", self.ui.presetBox.toolTip)

    def test_a_move_takes_less_than_five_milliseconds(self):
        self.session.changed.disconnect(self.refresh)  # the panel shows changes later, once for many
        started = time.process_time()
        for number in range(50):
            self.ui.volumeSlider.value = 5.0 + 0.1 * number
        self.assertLess((time.process_time() - started) / 50, 0.005)
        self.assertEqual(self.session.updates, 50)


class OthersTest(EditCase):
    """Preset, seed and example."""

    def test_a_model_without_rims_offers_none(self):
        self.session.domains = [{**CT, "rim": False}]
        self.refresh()
        self.assertFalse(self.ui.rimSlider.enabled)
        self.assertIn("knows nothing about rims", self.ui.rimSlider.toolTip)
        self.ui.presetBox.activated.emit(self.ui.presetBox.findData("infiltrative, irregular"))
        self.assertEqual(self.now.rim, 0.0)
        self.session.domains = [{**CT, "rim": True}]
        self.refresh()
        self.assertTrue(self.ui.rimSlider.enabled)
        self.ui.presetBox.activated.emit(self.ui.presetBox.findData("infiltrative, irregular"))
        self.assertGreater(self.now.rim, 0.5)

    def test_a_preset_asks_for_a_typical_tumor_and_can_be_chosen_again(self):
        box = self.ui.presetBox
        box.currentIndex = box.findData("necrotic")
        box.activated.emit(box.currentIndex)
        self.assertGreater(self.now.core["share"], 0.1)
        self.assertTrue(2.0 < self.now.shape["volume_ml"] < 60.0)
        self.assertEqual(box.currentIndex, 0)

    def test_the_seed_is_the_lesions_and_the_dice_draw_another(self):
        self.assertEqual(self.ui.seedSpin.value, 7)
        self.ui.seedSpin.value = 99
        self.assertEqual(self.now.seed, 99)
        seeds = set()
        for _ in range(3):
            self.ui.diceButton.click()
            seeds.add(self.now.seed)
            self.assertEqual(self.ui.seedSpin.value, self.now.seed)
        self.assertGreater(len(seeds), 1)

    def test_another_tumor_is_an_example(self):
        volume = self.ct("Other")
        segmentation, segmentId = self.ball(volume)
        self.ui.likeVolumeSelector.setCurrentNode(volume)
        self.ui.likeSelector.setCurrentNode(segmentation)
        self.ui.likeSelector.setCurrentSegmentID(segmentId)
        self.assertEqual(self.session.calls[-1], ("takeAfter", self.lesion.key, segmentation, segmentId, volume))
        count = len(self.session.calls)
        self.refresh()
        self.assertEqual(len(self.session.calls), count)

    def test_an_example_that_is_removed_gives_no_other(self):
        segmentation, segmentId = self.ball(self.ct("Other"))
        segmentation.GetSegmentation().AddEmptySegment("liver", "Liver")
        self.ui.likeSelector.setCurrentNode(segmentation)
        self.ui.likeSelector.setCurrentSegmentID(segmentId)
        count = len(self.session.calls)
        segmentation.GetSegmentation().RemoveSegment(segmentId)
        self.assertEqual((len(self.session.calls), self.ui.likeSelector.currentSegmentID()), (count, ""))
        self.ui.likeSelector.setCurrentSegmentID("liver")
        self.assertEqual(self.session.calls[-1], ("takeAfter", self.lesion.key, segmentation, "liver", None))

    def test_a_scan_of_the_example_that_is_removed_gives_no_other(self):
        other, volume = self.ct("First"), self.ct("Second")
        segmentation, segmentId = self.ball(volume)
        self.ui.likeVolumeSelector.setCurrentNode(volume)
        self.ui.likeSelector.setCurrentNode(segmentation)
        self.ui.likeSelector.setCurrentSegmentID(segmentId)
        count = len(self.session.calls)
        slicer.mrmlScene.RemoveNode(volume)
        self.assertIsNone(self.ui.likeVolumeSelector.currentNode())
        slicer.mrmlScene.RemoveNode(other)
        self.assertEqual(len(self.session.calls), count)


class FeaturesTest(EditCase):
    """The table of all features."""

    def test_sliders_and_table_show_the_same(self):
        self.ui.volumeSlider.value = 12.0
        self.assertEqual(self.tableText("shape_VoxelVolume", VALUE), "12 mL")
        tick = self.ui.featureTable.item(self.row("shape_VoxelVolume"), ASK)
        self.assertEqual(tick.checkState(), qt.Qt.Checked)
        self.ui.featureTable.item(self.row("firstorder_Variance"), VALUE).setText("25 HU")
        self.assertAlmostEqual(self.now.texture["firstorder_Variance"], 625.0)
        self.assertAlmostEqual(self.ui.heterogeneitySlider.value, 25.0)
        self.assertTrue(self.ui.heterogeneityCheck.checked)
        tick.setCheckState(qt.Qt.Unchecked)
        self.assertEqual(self.now.shape, {})
        self.assertFalse(self.ui.volumeCheck.checked)

    def test_one_turn_of_the_hand_is_one_change_without_loops(self):
        self.ui.featureTable.item(self.row("shape_Sphericity"), VALUE).setText("0.61")
        self.assertEqual(self.session.updates, 1)
        self.ui.featureTable.item(self.row("shape_Sphericity"), ASK).setCheckState(qt.Qt.Unchecked)
        self.assertEqual(self.session.updates, 2)

    def test_features_without_a_slider_can_be_asked_for(self):
        self.ui.featureTable.item(self.row("glszm_ZoneEntropy"), VALUE).setText("5,25")
        self.assertEqual(self.now.texture, {"glszm_ZoneEntropy": 5.25})
        self.ui.featureTable.item(self.row("shape_MeshVolume"), VALUE).setText("3 mL")
        self.assertAlmostEqual(self.now.shape["shape_MeshVolume"], 3000.0)
        self.ui.featureTable.item(self.row("shape_Flatness"), VALUE).setText("0.7")
        self.assertEqual(self.now.shape["flatness"], 0.7)

    def test_a_tick_begins_with_what_is_measured_or_else_usual(self):
        self.ui.featureTable.item(self.row("firstorder_Mean"), ASK).setCheckState(qt.Qt.Checked)
        self.assertEqual(self.now.texture, {"firstorder_Mean": 50.0})
        self.change(texture={}, measured={"firstorder_Mean": 61.0})
        self.ui.featureTable.item(self.row("firstorder_Mean"), ASK).setCheckState(qt.Qt.Checked)
        self.assertEqual(self.now.texture, {"firstorder_Mean": 61.0})

    def test_what_cannot_be_is_taken_back_and_told(self):
        item = self.ui.featureTable.item(self.row("shape_Sphericity"), VALUE)
        item.setText("round")
        self.assertEqual(item.text(), "–")
        item.setText("1.7")
        self.assertEqual(item.text(), "–")
        unknown = self.ui.featureTable.item(self.row("ngtdm_Busyness"), ASK)
        unknown.setCheckState(qt.Qt.Checked)
        self.assertEqual(unknown.checkState(), qt.Qt.Unchecked)
        self.assertEqual(len(self.failures), 3)
        self.assertEqual((self.now.shape, self.now.texture), ({}, {}))

    def test_ranges_and_measured_values_are_shown_in_the_same_unit(self):
        self.change(measured={"shape_VoxelVolume": 24000.0, "firstorder_Variance": 900.0})
        self.assertEqual(self.tableText("shape_VoxelVolume", HIGH), "60 mL")
        self.assertEqual(self.tableText("shape_VoxelVolume", MEASURED), "24 mL")
        self.assertEqual(self.tableText("firstorder_Variance", MEASURED), "30 HU")

    def test_nothing_can_be_typed_where_nothing_is_asked_for(self):
        editable = qt.Qt.ItemIsEditable
        item = self.ui.featureTable.item(self.row("firstorder_Mean"), VALUE)
        self.assertTrue(item.flags() & editable)
        self.change(operation="remove")
        self.assertFalse(item.flags() & editable)

    def test_folded_it_takes_no_time(self):
        self.ui.featuresBox.collapsed = True
        before = self.tableText("shape_VoxelVolume", VALUE)
        self.ui.volumeSlider.value = 33.0
        self.assertEqual(self.tableText("shape_VoxelVolume", VALUE), before)
        self.ui.featuresBox.collapsed = False
        self.assertEqual(self.tableText("shape_VoxelVolume", VALUE), "33 mL")

    def test_numbers_are_read_with_point_comma_and_unit(self):
        for text, number in {"45": 45.0, " -3.5 HU": -3.5, "0,25": 0.25, "1e-3": 1e-3, ".5": 0.5}.items():
            self.assertEqual(typedNumber(text), number)
        for text in ("", "HU", "–", "nan", "inf"):
            with self.assertRaises(RequestError, msg=text):
                typedNumber(text)
