"""The synthesis methods in the panel: what each is for, which the model has, and what each cannot do."""

import itertools
import unittest
from typing import Any

import numpy as np
import qt
from panel_fakes import PanelCase
from slicer_case import SlicerCase
from test_panel_edit import EditCase
from test_session import SessionCase

from TumorSynthLib.errors import RequestError
from TumorSynthLib.mask_code import decode_mask, encode_mask
from TumorSynthLib.methods import ALL, METHODS
from TumorSynthLib.possible import check_possible
from TumorSynthLib.protocol import lesion_requests, parse_request
from TumorSynthSlicer.grids import geometryOf
from TumorSynthSlicer.knobs import KNOBS
from TumorSynthSlicer.lesion import Lesion, operationsFor
from TumorSynthSlicer.method_words import lacking, methodProblem, methodWords
from TumorSynthSlicer.outline import surfaceOf
from TumorSynthSlicer.panel.advanced_section import AdvancedSection
from TumorSynthSlicer.requests import Place, Settings, editRequest, lesionsRequest, previewRequest

FLOW = Settings(method="flow")
BOX = Place(box=((0.0, 0.0, 0.0), (20.0, 20.0, 20.0)))
PLACES = {"point": Place(at=(1.0, 2.0, 3.0)), "box": BOX, "segment": Place(mask="mask.nrrd", to=(4.0, 5.0, 6.0))}


class WordsTest(unittest.TestCase):
    """What is said."""

    def test_translators_get_the_sentences_of_the_library(self) -> None:
        told = [(methodWords(name).source, methodWords(name).prefer) for name in METHODS]
        self.assertEqual(told, [(method.source, method.prefer) for method in ALL])
        self.assertEqual(len({methodWords(name).name for name in METHODS}), len(METHODS))

    def test_the_panel_refuses_exactly_what_the_worker_refuses(self) -> None:
        refused = []
        wishes: list[dict[str, Any]] = [{"core": {"share": 0.3}}, {"rim": 0.5}, {"massEffect": 0.5}, {}]
        shapes = [{}, {"volume_ml": 2.0}, {"shape_VoxelVolume": 2000.0}, {"sphericity": 0.8}]
        for method, place, shape, wish in itertools.product(METHODS, PLACES, shapes, wishes):
            for operation in operationsFor(place):
                lesion = Lesion("L1", "One", place, operation, shape=shape, volumesMl=[2.0], **wish)
                problem = methodProblem(lesion, method)
                with self.subTest(method=method, place=place, operation=operation, shape=shape, wish=wish):
                    self.assertEqual(bool(problem), not self.isPossible(lesion, method))
                refused.append(bool(problem))
        self.assertIn(True, refused)
        self.assertIn(False, refused)

    def isPossible(self, lesion: Lesion, method: str) -> bool:
        """Whether the worker takes the request for a lesion, as it is made with the bridge, with another method."""
        request = editRequest(lesion, Settings(), "scan.nrrd", PLACES[lesion.place], "out")
        try:
            check_possible(parse_request({**request, "method": method}))
        except RequestError as error:
            self.assertIn(error.code, ("request.method", "request.core", "request.rim", "request.mass_effect"))
            return False
        return True

    def test_a_method_that_the_model_lacks_says_why(self) -> None:
        self.assertEqual([lacking(name, METHODS, "base") for name in METHODS], ["", "", ""])
        self.assertIn("'base'", lacking("flow", ("bridge",), "base"))
        self.assertIn("background program", lacking("flow", (), ""))
        self.assertEqual(lacking("bridge", (), ""), "")


class RequestsTest(unittest.TestCase):
    """What is sent."""

    def test_removal_is_sent_with_the_bridge(self) -> None:
        remove = Lesion("L2", "Two", "segment", "remove")
        self.assertEqual(editRequest(remove, FLOW, "scan.nrrd", PLACES["segment"], "out")["method"], "bridge")
        insert = Lesion("L1", "One", "box")
        edits = [(remove, PLACES["segment"]), (insert, BOX)]
        both = parse_request(lesionsRequest(edits, FLOW, "scan.nrrd", "out"))
        self.assertEqual([one.method for one in lesion_requests(both)], ["bridge", "flow"])
        self.assertEqual(lesionsRequest(edits[:1] * 2, FLOW, "scan.nrrd", "out")["method"], "bridge")

    def test_what_a_method_cannot_do_is_not_sent(self) -> None:
        for make in (editRequest, previewRequest):
            rest = ("out",) if make is editRequest else ()
            with self.assertRaisesRegex(RequestError, "One: .*'flow'"):
                make(Lesion("L1", "One", "segment", "edit"), FLOW, "scan.nrrd", PLACES["segment"], *rest)
        with self.assertRaisesRegex(RequestError, "One: .*'core'"):
            editRequest(Lesion("L1", "One", "box", core={"share": 0.2}), FLOW, "scan.nrrd", BOX, "out")


class AdvancedTest(PanelCase):
    """The box, and the sentence beneath it."""

    def setUp(self) -> None:
        super().setUp()
        self.section = AdvancedSection(self.ui, self.session)

    def offered(self) -> dict[str, tuple[bool, str]]:
        """Of each method whether it can be chosen, and its tooltip."""
        self.section.refresh()
        box, found = self.ui.methodBox, {}
        for index in range(box.count):
            enabled = bool(box.model().flags(box.model().index(index, 0)) & qt.Qt.ItemIsEnabled)
            found[box.itemData(index)] = (enabled, box.itemData(index, qt.Qt.ToolTipRole))
        return found

    def test_every_method_tells_what_it_is_and_when_to_prefer_it(self) -> None:
        offered = self.offered()
        self.assertEqual(list(offered), list(METHODS))
        for method in ALL:
            enabled, tip = offered[method.name]
            self.assertTrue(enabled)
            self.assertEqual(tip, f"{method.source}\n\n{method.prefer}")
            self.session.parameters.method = method.name
            self.section.refresh()
            self.assertEqual(self.ui.methodHelpLabel.text, method.prefer)
            self.assertEqual(self.ui.methodHelpLabel.toolTip, method.source)

    def test_what_the_model_lacks_cannot_be_chosen_and_says_why(self) -> None:
        self.session.methods = ("bridge",)
        offered = self.offered()
        self.assertEqual(
            {name: enabled for name, (enabled, _tip) in offered.items()}, {**dict.fromkeys(METHODS, False), "bridge": True}
        )
        self.assertIn("'tiny' was not trained", offered["flow"][1])
        self.session.methods = METHODS
        self.assertTrue(all(enabled for enabled, _tip in self.offered().values()))
        self.session.methods = ()
        offered = self.offered()
        self.assertFalse(offered["diffusion"][0])
        self.assertIn("start it first", offered["diffusion"][1])

    def test_a_chosen_method_that_the_model_lacks_is_pointed_at(self) -> None:
        self.session.parameters.method, self.session.methods = "flow", ("bridge",)
        self.session.methodLack = "The model lacks it."
        self.section.refresh()
        self.assertEqual(self.ui.methodBox.currentText, methodWords("flow").name)
        self.assertEqual(self.ui.methodHelpLabel.text, "The model lacks it.")
        self.assertIn("color", self.ui.methodHelpLabel.styleSheet)


class SlidersTest(EditCase):
    """The sliders follow the method."""

    def setUp(self) -> None:
        super().setUp()
        self.session.parameters.method = "flow"
        self.lesion = self.session.lesions.add("box")
        self.refresh()

    def enabled(self) -> set[str]:
        """Sliders that can be moved."""
        return {knob.name for knob in KNOBS if getattr(self.ui, f"{knob.name}Slider").enabled}

    def test_what_flow_cannot_do_says_why(self) -> None:
        cannot = {"coreShare", "coreAttenuation", "rim", "massEffect"}
        self.assertEqual(self.enabled(), {knob.name for knob in KNOBS} - cannot)
        for name in cannot:
            self.assertIn("only when it is finished", getattr(self.ui, f"{name}Slider").toolTip)
        for method in ("bridge", "diffusion"):
            self.session.parameters.method = method
            self.refresh()
            self.assertEqual(self.enabled(), {knob.name for knob in KNOBS})

    def test_what_was_asked_for_before_can_be_taken_back(self) -> None:
        self.change(core={"share": 0.3}, rim=0.4)
        self.assertEqual(self.enabled() & {"coreShare", "rim", "massEffect"}, {"coreShare", "rim"})
        self.ui.rimSlider.value = 0.0
        self.ui.coreShareCheck.click()
        self.assertEqual((self.now.rim, self.now.core), (0.0, {}))
        self.assertEqual(methodProblem(self.now, "flow"), "")

    def test_it_is_told_what_is_a_wish_and_what_the_outline_shows(self) -> None:
        self.assertIn("The outline is the box", self.ui.volumeRange.text)
        self.assertIn("typical", self.ui.volumeRange.text)
        self.assertNotIn("wish", self.ui.sphericityRange.text)
        self.change(shape={"volume_ml": 4.0, "sphericity": 0.6})
        self.assertIn("Only a wish", self.ui.sphericityRange.text)
        self.assertNotIn("wish", self.ui.volumeRange.text)
        self.change(state="kept")
        self.assertNotIn("outline", self.ui.volumeRange.text)
        self.session.parameters.method = "diffusion"
        self.refresh()
        self.assertNotIn("wish", self.ui.sphericityRange.text)


class SessionMethodsTest(SessionCase):
    """Generate, and what the worker gets."""

    def ask(self, methods: list[str]) -> Any:
        """A session on a phantom, with a model that has some methods."""
        self.service.answers["bundles"]["bundles"][0]["methods"] = methods
        volume = self.open()
        self.waitUntil(lambda: self.session.methods)
        return volume

    def test_a_method_that_the_model_lacks_is_refused_before_anything_is_sent_but_for_removals(self) -> None:
        volume = self.ask(["bridge"])
        key = self.point(volume, shape={"volume_ml": 2.0})
        self.assertEqual(self.session.why("generate"), "")
        self.session.setMethod("diffusion")
        why = self.session.why("generate")
        self.assertIn("'Diffusion': The model 'tiny' was not trained for this method.", why)
        self.generate()
        self.assertEqual((str(self.errors[0]), self.service.requests), (why, []))
        self.session.removeLesion(key)
        self.errors.clear()
        self.session.addSegment(*self.ball(volume), "remove")
        self.assertEqual(self.session.why("generate"), "")
        self.generate()
        self.assertEqual([request["method"] for request in self.service.requests], ["bridge"])
        self.assertNoErrors()

    def test_before_the_model_is_known_nothing_speaks_against_a_method(self) -> None:
        volume = self.open(started=False)
        self.point(volume)
        self.session.setMethod("diffusion")
        self.assertEqual((self.session.methods, self.session.methodLack, self.session.why("generate")), ((), "", ""))

    def test_a_worker_that_does_not_tell_has_the_bridge_alone(self) -> None:
        del self.service.answers["bundles"]["bundles"][0]["methods"]
        self.open()
        self.waitUntil(lambda: self.session.methods)
        self.assertEqual(self.session.methods, ("bridge",))

    def test_generate_says_what_the_method_needs(self) -> None:
        volume = self.ask(list(METHODS))
        key = self.point(volume)
        self.session.setMethod("flow")
        self.assertIn("needs a volume", self.session.why("generate"))
        self.session.update(key, shape={"volume_ml": 2.0})
        self.assertEqual(self.session.why("generate"), "")
        self.session.update(key, rim=0.5)
        self.assertIn("a rim", self.session.why("generate"))
        self.session.setMethod("bridge")
        self.assertEqual(self.session.why("generate"), "")

    def test_another_method_has_the_outline_asked_for_again_and_impossible_ones_are_not_asked_for(self) -> None:
        volume = self.ask(list(METHODS))
        key = self.point(volume)
        self.waitUntil(lambda: self.session.outline.measured)
        self.session.setMethod("flow")
        self.waitUntil(lambda: self.session.outline.message)
        self.assertIn("'flow'", self.session.outline.message)
        previews = [values["method"] for values in self.service.inquiries if values.get("preview")]
        self.assertEqual(set(previews), {"bridge"})
        self.session.update(key, shape={"volume_ml": 2.0})
        self.waitUntil(lambda: self.session.outline.measured)
        self.assertEqual(self.service.inquiriesOf("insert")[-1]["method"], "flow")


class OutlineOfABoxTest(SlicerCase):
    """The worker's answer to a preview of flow."""

    def test_the_surface_is_the_box(self) -> None:
        grid = geometryOf(self.ct())
        mask = np.zeros(grid.shape, bool)
        mask[10:25, 12:30, 8:20] = True
        surface = surfaceOf(decode_mask(encode_mask(mask, grid)))
        low, high = np.array(surface.GetBounds()).reshape(3, 2).T
        corners = grid.to_ras(np.array([[9.5, 11.5, 7.5], [24.5, 29.5, 19.5]]))
        np.testing.assert_allclose(low, corners.min(axis=0), atol=0.3)
        np.testing.assert_allclose(high, corners.max(axis=0), atol=0.3)
