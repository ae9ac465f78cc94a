"""Lesions and their list: what they refuse, and that nothing is lost on the way through JSON."""

import json
import unittest

from TumorSynthLib.errors import RequestError
from TumorSynthSlicer.lesion import Lesion, operationsFor
from TumorSynthSlicer.lesion_list import LesionList


class LesionTest(unittest.TestCase):
    """A row of the table."""

    def test_only_a_segment_can_be_a_tumor_that_is_there_already(self) -> None:
        self.assertEqual(operationsFor("point"), ("insert",))
        self.assertEqual(operationsFor("box"), ("insert",))
        self.assertEqual(set(operationsFor("segment")), {"insert", "edit", "remove", "move", "grow"})
        with self.assertRaisesRegex(RequestError, "insert"):
            Lesion("L1", "One", "point", "remove")

    def test_survives_json(self) -> None:
        lesion = Lesion(
            "L1", "One", "segment", "grow", {"sphericity": 0.7}, {"firstorder_Mean": -20.5}, {"share": 0.3, "texture": {}},
            rim=0.2, massEffect=0.5, seed=17, volumesMl=[4.0, 8.0], segmentId="Segment_1", state="failed", message="no room",
            measured={"shape_Sphericity": 0.6}, visible=False,
        )  # fmt: skip
        self.assertEqual(Lesion.fromDict(json.loads(json.dumps(lesion.toDict()))), lesion)

    def test_refuses_what_cannot_be(self) -> None:
        lesion = Lesion("L1", "One", "point")
        for changes in (
            {"shape": {"sphericity": 1.2}},
            {"shape": {"volume_ml": 0.0}},
            {"shape": {"roundness": 0.5}},
            {"shape": {"flatness": 0.9, "elongation": 0.5}},
            {"texture": {"firstorder_Variance": -4.0}},
            {"texture": {"firstorder_Mean": float("nan")}},
            {"core": {"share": 1.0}},
            {"rim": 1.5},
            {"massEffect": -0.1},
            {"seed": -1},
            {"volumesMl": [4.0, 0.0]},
            {"name": " "},
            {"state": "lost"},
            {"key": "L2"},
            {"colour": "red"},
        ):
            with self.subTest(changes), self.assertRaises(RequestError) as caught:
                lesion.withChanges(**changes)
            self.assertTrue(caught.exception.message)

    def test_allows_what_is_only_unusual(self) -> None:
        changed = Lesion("L1", "One", "point").withChanges(shape={"volume_ml": 900.0, "sphericity": 0.1}, rim=1.0)
        self.assertEqual(changed.shape["volume_ml"], 900.0)

    def test_a_change_leaves_the_lesion_itself_alone(self) -> None:
        lesion = Lesion("L1", "One", "point")
        lesion.withChanges(name="Two", shape={"volume_ml": 2.0})
        self.assertEqual((lesion.name, lesion.shape), ("One", {}))


class LesionListTest(unittest.TestCase):
    """The table."""

    def setUp(self) -> None:
        self.lesions = LesionList()
        self.told: list[str | None] = []
        self.lesions.changed.connect(self.told.append)

    def test_names_count_up_and_are_not_used_twice(self) -> None:
        names = [self.lesions.add("point").name, self.lesions.add("segment", "remove").name, self.lesions.add("box").name]
        self.assertEqual(names, ["Lesion 1", "Existing 1", "Lesion 2"])

    def test_keys_are_not_used_again_after_a_removal(self) -> None:
        first = self.lesions.add("point").key
        self.lesions.remove(first)
        self.assertNotEqual(self.lesions.add("point").key, first)

    def test_a_new_lesion_is_selected_and_the_next_one_when_it_goes(self) -> None:
        keys = [self.lesions.add("point").key for _ in range(3)]
        self.assertEqual(self.lesions.selected, keys[2])
        self.lesions.select(keys[1])
        self.lesions.remove(keys[1])
        self.assertEqual(self.lesions.selected, keys[2])
        self.lesions.remove(keys[2])
        self.assertEqual(self.lesions.selected, keys[0])
        self.lesions.remove(keys[0])
        self.assertEqual(self.lesions.selected, "")

    def test_tells_of_changes_once_and_only_of_changes(self) -> None:
        key = self.lesions.add("point").key
        self.lesions.update(key, shape={"volume_ml": 2.0})
        self.lesions.update(key, shape={"volume_ml": 2.0})
        self.lesions.select(key)
        self.assertEqual(self.told, [key, key])

    def test_an_impossible_change_changes_nothing(self) -> None:
        key = self.lesions.add("point").key
        with self.assertRaises(RequestError):
            self.lesions.update(key, rim=2.0, name="Other")
        self.assertEqual((self.lesions.get(key).rim, self.lesions.get(key).name, self.told), (0.0, "Lesion 1", [key]))

    def test_json_brings_back_the_same_lesions_in_order(self) -> None:
        for place in ("point", "box", "segment"):
            self.lesions.add(place, shape={"volume_ml": 3.0})
        other = LesionList()
        other.fromJson(self.lesions.toJson())
        self.assertEqual(other.all(), self.lesions.all())
        self.assertEqual(other.selected, self.lesions.all()[0].key)
        self.assertNotIn(other.add("point").key, [lesion.key for lesion in self.lesions.all()])

    def test_broken_json_is_an_error_and_keeps_the_list(self) -> None:
        self.lesions.add("point")
        before = self.lesions.all()
        lesion = {"key": "L1", "name": "One", "place": "point"}
        bad = (
            "{",
            "{}",
            "3",
            "[1]",
            '[{"key": "L1"}]',
            json.dumps([{**lesion, "rim": "x"}]),
            json.dumps([{**lesion, "place": 3}]),
        )
        for text in (*bad, "[" * 100_000, json.dumps([{**lesion, "core": 4}]), json.dumps([{**lesion, "colour": 1}])):
            with self.subTest(text[:40]), self.assertRaises(RequestError):
                self.lesions.fromJson(text)
            self.assertEqual(self.lesions.all(), before)

    def test_an_unknown_key_is_an_error(self) -> None:
        for action in (self.lesions.get, self.lesions.select, self.lesions.remove, self.lesions.update):
            with self.assertRaises(RequestError):
                action("L9")
