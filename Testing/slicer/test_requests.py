"""Requests that are made of lesions: the worker's own parser accepts them, and they say what the lesion says."""

import unittest

from TumorSynthLib.errors import RequestError
from TumorSynthLib.protocol import lesion_requests, parse_request
from TumorSynthSlicer.lesion import Lesion
from TumorSynthSlicer.requests import (
    Place,
    Settings,
    editRequest,
    lesionsRequest,
    measureInquiry,
    previewRequest,
    rangesInquiry,
)

SETTINGS = Settings(domain="abdomen-ct", steps=4, region="organ.nrrd", regionLabel=2)
AT, MASK = Place(at=(1.0, 2.0, 3.0)), Place(mask="mask.nrrd", to=(4.0, 5.0, 6.0))
POINT = Lesion(
    "L1", "One", "point", shape={"volume_ml": 8.0}, texture={"firstorder_Mean": 40.0}, core={"share": 0.3}, rim=0.5, seed=7
)


def existing(operation: str, **more: object) -> Lesion:
    """A tumor that is there."""
    return Lesion("L2", "Two", "segment", operation, label=3, **more)


class RequestsTest(unittest.TestCase):
    """One lesion, and several."""

    def test_an_insert_says_everything_that_was_asked(self) -> None:
        request = parse_request(editRequest(POINT, SETTINGS, "scan.nrrd", AT, "out"))
        self.assertEqual((request.op, request.image, request.at, request.out), ("insert", "scan.nrrd", (1.0, 2.0, 3.0), "out"))
        self.assertEqual((request.shape, request.texture), (POINT.shape, POINT.texture))
        self.assertEqual((request.core, request.rim, request.seed, request.steps), ({"share": 0.3}, 0.5, 7, 4))
        self.assertEqual((request.region, request.region_label), ("organ.nrrd", 2))

    def test_a_variant_has_another_seed(self) -> None:
        self.assertEqual(editRequest(POINT, SETTINGS, "scan.nrrd", AT, "out", 9)["seed"], 9)

    def test_every_operation_takes_only_what_it_may(self) -> None:
        asked = {
            "shape": {"volume_ml": 5.0, "sphericity": 0.7},
            "texture": {"firstorder_Mean": 10.0},
            "rim": 0.2,
            "volumesMl": [4.0, 8.0],
        }
        for operation in ("insert", "edit", "remove", "move", "grow"):
            request = parse_request(editRequest(existing(operation, **asked), SETTINGS, "scan.nrrd", MASK, "out"))
            self.assertEqual((request.op, request.mask, request.label), (operation, "mask.nrrd", 3))
            self.assertEqual(request.to, (4.0, 5.0, 6.0) if operation == "move" else None)
            self.assertEqual(request.volumes_ml, (4.0, 8.0) if operation == "grow" else ())
            self.assertEqual(request.region, None if operation == "remove" else "organ.nrrd")
            self.assertEqual(request.shape, asked["shape"] if operation in ("insert", "edit") else {})

    def test_a_box_is_a_place(self) -> None:
        box = ((0.0, 0.0, 0.0), (20.0, 20.0, 20.0))
        lesion = Lesion("L1", "One", "box")
        self.assertEqual(parse_request(editRequest(lesion, SETTINGS, "scan.nrrd", Place(box=box), "out")).box, box)

    def test_what_is_missing_is_told_with_the_lesion(self) -> None:
        for lesion, place in ((POINT, Place()), (existing("move"), Place(mask="m.nrrd")), (existing("grow"), MASK)):
            with self.assertRaisesRegex(RequestError, lesion.name):
                editRequest(lesion, SETTINGS, "scan.nrrd", place, "out")

    def test_sizes_that_cannot_come_together_are_refused(self) -> None:
        lesion = POINT.withChanges(shape={"volume_ml": 50.0, "shape_MajorAxisLength": 20.0})
        with self.assertRaisesRegex(RequestError, "do not fit"):
            editRequest(lesion, SETTINGS, "scan.nrrd", AT, "out")

    def test_several_lesions_are_one_request_with_their_own_seeds_and_names(self) -> None:
        remove = existing("remove", seed=1)
        request = parse_request(lesionsRequest([(remove, MASK), (POINT, AT)], SETTINGS, "scan.nrrd", "out", seed=10))
        first, second = lesion_requests(request)
        self.assertEqual([entry["name"] for entry in request.lesions], ["Two", "One"])
        self.assertEqual((first.op, first.mask, first.region, first.seed), ("remove", "mask.nrrd", None, 11))
        self.assertEqual((second.op, second.at, second.region, second.seed), ("insert", (1.0, 2.0, 3.0), "organ.nrrd", 17))
        self.assertEqual(second.shape, POINT.shape)
        with self.assertRaisesRegex(RequestError, "grow"):
            lesionsRequest([(existing("grow", volumesMl=[4.0]), MASK)], SETTINGS, "scan.nrrd", "out")

    def test_previews_have_no_folder_and_removals_no_preview(self) -> None:
        request = parse_request(previewRequest(POINT, SETTINGS, "scan.nrrd", AT) or {})
        self.assertTrue(request.preview and request.out is None)
        self.assertIsNone(previewRequest(existing("remove"), SETTINGS, "scan.nrrd", MASK))

    def test_inquiries_name_bundle_and_domain(self) -> None:
        inquiry = rangesInquiry(SETTINGS, POINT.shape, POINT.texture)
        self.assertEqual((inquiry["op"], inquiry["bundle"], inquiry["domain"]), ("ranges", "base", "abdomen-ct"))
        inquiry = measureInquiry(SETTINGS, "scan.nrrd", "mask.nrrd", 3)
        self.assertEqual((inquiry["image"], inquiry["mask"], inquiry["label"]), ("scan.nrrd", "mask.nrrd", 3))
