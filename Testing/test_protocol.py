import json
import math
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from TumorSynthLib import protocol
from TumorSynthLib.errors import RequestError
from TumorSynthLib.protocol import SHAPE_FEATURES, TEXTURE_FEATURES, parse_cancel, parse_line, parse_request, shape_targets

ROOT = Path(__file__).resolve().parents[1]
INSERT = {"schema": 1, "op": "insert", "image": "scan.nrrd", "at": [-30, 12.5, 85]}
EDIT = {"schema": 1, "op": "edit", "image": "scan.nrrd", "mask": "mask.nrrd"}
MOVE = {**EDIT, "op": "move", "to": [1, 2, 3]}
GROW = {**EDIT, "op": "grow", "volumes_ml": [4, 8, 16]}
SHAPE = {"schema": 1, "op": "shape", "shape": {"volume_ml": 12.0}}
HANDMADE = {
    **{key: value for key, value in INSERT.items() if key != "at"},
    **{"handmade": "tiny", "region": "organ.nrrd", "shape": {"volume_ml": 0.3}, "tumor_domain": "abdomen-ct"},
}
FULL = {
    **{key: value for key, value in INSERT.items() if key != "at"},
    "bundle": "base",
    "domain": "soft-tissue-ct",
    "box": [[10, 20, 30], [-10, 40, 50]],
    "region": "organ.nrrd",
    "shape": {"volume_ml": 12.0, "sphericity": 0.75, "elongation": 0.8, "flatness": 0.7, "shape_MajorAxisLength": 31.0},
    "texture": {"firstorder_Mean": -45.0, "glcm_Contrast": 8.1},
    "like": {"image": "other.nrrd", "mask": "other_mask.nrrd"},
    "method": "flow",
    "steps": 20,
    "guidance": 2,
    "candidates": 4,
    "seed": 2**63 - 1,
    "device": "cuda:1",
    "noise": False,
    "mass_effect": 0.5,
    "rim": 1,
    "format": "nii.gz",
    "overwrite": True,
    "out": "folder",
    "id": "a-1",
}


def refused(values: dict) -> RequestError:
    """The error of a request, which must be complete."""
    with pytest.raises(RequestError) as caught:
        parse_request(values)
    error = caught.value
    assert error.code.startswith("request.")
    assert error.message.endswith(".") and error.hint
    return error


def test_protocol_imports_with_the_standard_library_alone():
    code = """
        import sys
        for name in ("torch", "numpy", "SimpleITK", "slicer", "monai", "scipy"):
            sys.modules[name] = None
        from TumorSynthLib import protocol
        assert protocol.parse_line('{"schema": 1, "op": "shape"}').op == "shape"
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, check=True)


def test_feature_names_are_those_of_pyradiomics():
    classes = pytest.importorskip("radiomics").getFeatureClasses()
    for group, names in (("shape", SHAPE_FEATURES), *((g, TEXTURE_FEATURES) for g in classes if not g.startswith("shape"))):
        real = {f"{group}_{name}" for name, deprecated in classes[group].getFeatureNames().items() if not deprecated}
        assert {name for name in names if name.startswith(f"{group}_")} == real
    assert (len(SHAPE_FEATURES), len(TEXTURE_FEATURES)) == (14, 93)
    assert set(protocol.SHAPE_ALIASES.values()) <= set(SHAPE_FEATURES)


def test_defaults_are_those_of_the_design():
    request = parse_request(INSERT)
    found = request.to_dict()
    assert found == {
        "schema": 1, "op": "insert", "image": "scan.nrrd", "bundle": "base", "domain": "auto", "at": [-30.0, 12.5, 85.0],
        "tumor_domain": None,
        "mask": None, "label": 1, "box": None, "to": None, "region": None, "region_label": 1, "volumes_ml": [], "shape": {},
        "handmade": None, "texture": {},
        "like": None, "method": "bridge", "steps": 10, "guidance": 1.5, "candidates": 1, "seed": 0, "device": "auto",
        "noise": True, "mass_effect": 0.0, "rim": 0.0, "core": None, "labels": None, "lesions": [], "preview": False,
        "format": "nrrd", "overwrite": False, "out": None, "id": None,
    }  # fmt: skip


@pytest.mark.parametrize("values", [INSERT, FULL, EDIT, MOVE, GROW, SHAPE, HANDMADE, {**EDIT, "op": "remove"}])
def test_a_request_survives_the_way_through_json(values):
    request = parse_request(values)
    again = parse_line(json.dumps(request.to_dict(), allow_nan=False))
    assert again == request
    assert again.to_dict() == request.to_dict()


def test_a_box_is_sorted_into_lower_and_upper_corner():
    assert parse_request(FULL).box == ((-10.0, 20.0, 30.0), (10.0, 40.0, 50.0))


def test_shape_targets_have_pyradiomics_names_and_cubic_millimeters():
    assert shape_targets(parse_request(FULL)) == {
        "shape_VoxelVolume": 12000.0,
        "shape_Sphericity": 0.75,
        "shape_Elongation": 0.8,
        "shape_Flatness": 0.7,
        "shape_MajorAxisLength": 31.0,
    }


def test_changing_the_result_dictionary_leaves_the_request_alone():
    request = parse_request(FULL)
    request.to_dict()["shape"]["sphericity"] = 0.1
    assert request.shape["sphericity"] == 0.75


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", True), ("steps", 10.0), ("steps", "10"), ("steps", None), ("candidates", False), ("seed", 1.5),
        ("label", True), ("guidance", True), ("guidance", "1"), ("guidance", [1]), ("noise", 1), ("noise", "true"),
        ("noise", None),
        ("overwrite", 0), ("image", 3), ("image", ["a"]), ("at", 3), ("at", [1, 2]), ("at", [1, 2, 3, 4]), ("at", [1, 2, True]),
        ("at", "1 2 3"), ("at", {"r": 1}), ("shape", [1]), ("shape", 3), ("texture", "firstorder_Mean"), ("like", "other.nrrd"),
        ("volumes_ml", 3), ("bundle", 1), ("method", 1), ("format", None), ("id", 1.5), ("id", True), ("rim", [0]),
    ],
)  # fmt: skip
def test_a_wrongly_typed_field_is_refused_by_name(field, value):
    error = refused({**INSERT, field: value})
    assert error.code == "request.type"
    assert f"'{field}" in error.message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0), ("steps", 1001), ("candidates", 0), ("candidates", 65), ("guidance", -0.1), ("guidance", 10.1),
        ("mass_effect", -0.1), ("mass_effect", 1.1), ("rim", -1e-9), ("rim", 1.001), ("label", 0), ("seed", -1),
        ("seed", 2**63),
        ("shape", {"sphericity": 1.01}), ("shape", {"sphericity": 0}), ("shape", {"shape_Sphericity": -1}),
        ("shape", {"elongation": 1.2}), ("shape", {"flatness": 0}), ("shape", {"volume_ml": 0}), ("shape", {"volume_ml": -3}),
        ("shape", {"shape_Maximum3DDiameter": 0}), ("shape", {"elongation": 0.5, "flatness": 0.6}),
        ("texture", {"firstorder_Variance": -1}), ("texture", {"glcm_Contrast": -0.01}),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused(field, value):
    assert refused({**INSERT, field: value}).code == "request.range"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 1), ("steps", 1000), ("candidates", 64), ("guidance", 0), ("guidance", 10), ("mass_effect", 1), ("rim", 0),
        ("shape", {"sphericity": 1}), ("shape", {"elongation": 0.5, "flatness": 0.5}), ("seed", 2**63 - 1),
        ("texture", {"glcm_Imc1": -0.5, "firstorder_Minimum": -1000, "glcm_JointEntropy": -3e-16}),
    ],
)  # fmt: skip
def test_the_ends_of_each_range_are_accepted(field, value):
    assert parse_request({**INSERT, field: value}).to_dict()[field] == value


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 10**400])
@pytest.mark.parametrize(
    "place",
    [
        lambda x: {"at": [1, x, 3]},
        lambda x: {"guidance": x},
        lambda x: {"rim": x},
        lambda x: {"shape": {"volume_ml": x}},
        lambda x: {"texture": {"firstorder_Mean": x}},
    ],
)
def test_a_number_that_is_not_finite_is_refused(bad, place):
    assert refused({**INSERT, **place(bad)}).code == "request.not_finite"


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({**INSERT, "stpes": 3}, "'steps'"),
        ({**INSERT, "Image": "a"}, "'image'"),
        ({**INSERT, "texture": {"firstorder_mean": 3}}, "'firstorder_Mean'"),
        ({**INSERT, "texture": {"original_glcm_Contrast": 3}}, "'glcm_Contrast'"),
        ({**INSERT, "texture": {"glcm_Contrst": 3}}, "'glcm_Contrast'"),
        ({**INSERT, "texture": {"sphericity": 0.5}}, "'shape'"),
        ({**INSERT, "shape": {"firstorder_Mean": 3}}, "'texture'"),
        ({**INSERT, "shape": {"spherecity": 0.5}}, "'sphericity'"),
        ({**INSERT, "method": "bridges"}, "'bridge'"),
        ({**INSERT, "op": "inserts"}, "'insert'"),
        ({**INSERT, "format": "nii"}, "'nii.gz'"),
        ({**INSERT, "like": {"image": "a", "mask": "b", "lable": 1}}, "'label'"),
    ],
)
def test_an_unknown_name_gets_a_suggestion(values, wanted):
    assert wanted in refused(values).hint


def test_the_same_feature_by_two_names_is_refused():
    assert refused({**INSERT, "shape": {"volume_ml": 1, "shape_VoxelVolume": 1000}}).code == "request.feature"


@pytest.mark.parametrize("name", ["../base", "a/b", "a\\b", "..", ".hidden", "/etc", "C:base", "a\0b", "base/..", " ", ""])
def test_a_bundle_name_with_path_parts_is_refused(name):
    refused({**INSERT, "bundle": name})


@pytest.mark.parametrize("word", ["", "  ", "a\0b", "\ud800"])
@pytest.mark.parametrize("field", ["image", "region", "out", "id"])
def test_a_text_that_cannot_name_a_file_is_refused(field, word):
    refused({**INSERT, field: word})


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CUDA", "cpu:0"])
def test_an_unknown_device_is_refused(device):
    assert refused({**INSERT, "device": device}).code == "request.device"


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({}, "request.missing"),
        ({"schema": 1}, "request.missing"),
        ({"op": "insert"}, "request.missing"),
        ({**INSERT, "schema": 2}, "request.schema"),
        ({**INSERT, "schema": 0}, "request.schema"),
        ({**INSERT, "schema": True}, "request.type"),
        ({**INSERT, "schema": 1.0}, "request.type"),
        ({**INSERT, "schema": "1"}, "request.type"),
        ({**INSERT, "op": "cancel"}, "request.op"),
        ({**INSERT, "image": None}, "request.missing"),
        ({**INSERT, "at": None}, "request.place"),
        ({**INSERT, "mask": "m.nrrd"}, "request.place"),
        ({**INSERT, "box": [[0, 0, 0], [1, 1, 1]]}, "request.place"),
        ({**INSERT, "to": [0, 0, 0]}, "request.forbidden"),
        ({**INSERT, "volumes_ml": [1]}, "request.forbidden"),
        ({**INSERT, "at": None, "box": [[0, 0, 0], [1, 0, 1]]}, "request.range"),
        ({**EDIT, "mask": None}, "request.missing"),
        ({**EDIT, "at": [0, 0, 0]}, "request.forbidden"),
        ({**EDIT, "op": "remove", "texture": {"firstorder_Mean": 1}}, "request.forbidden"),
        ({**EDIT, "op": "move"}, "request.missing"),
        ({**MOVE, "shape": {"sphericity": 0.5}}, "request.forbidden"),
        ({**EDIT, "op": "grow"}, "request.missing"),
        ({**GROW, "volumes_ml": []}, "request.missing"),
        ({**GROW, "volumes_ml": [1, 0]}, "request.range"),
        ({**GROW, "shape": {"volume_ml": 3}}, "request.forbidden"),
        ({**SHAPE, "mask": "m.nrrd"}, "request.forbidden"),
        ({**SHAPE, "region": "m.nrrd"}, "request.missing"),
        ({**SHAPE, "at": [0, 0, 0], "box": [[0, 0, 0], [1, 1, 1]]}, "request.place"),
        ({**INSERT, "like": {"image": "a"}}, "request.missing"),
        ({**INSERT, "like": {"image": "a", "mask": "b", "label": 0}}, "request.range"),
    ],
)
def test_fields_that_do_not_fit_the_operation_are_refused(values, code):
    assert refused(values).code == code


def test_an_unknown_field_is_refused_even_with_an_odd_key():
    assert refused({**INSERT, 3: 4}).code == "request.unknown_field"


@pytest.mark.parametrize(
    "line",
    ["", "{", "[]", "3", "null", '"text"', "{'schema': 1}", '{"a": NaN}', '{"a": Infinity}', '{"a": -Infinity}',
     '{"schema": 1, "schema": 1, "op": "shape"}', '{"a":' * 100_000, '{"a": ' + "1" * 5000 + "}", '{"schema": 1} x'],
)  # fmt: skip
def test_a_line_that_is_not_one_json_object_is_refused(line):
    with pytest.raises(RequestError) as caught:
        parse_line(line)
    assert caught.value.code == "request.json"


def test_an_overflowing_literal_in_a_line_is_refused():
    with pytest.raises(RequestError) as caught:
        parse_line('{"schema": 1, "op": "insert", "image": "a", "at": [1, 2, 1e999]}')
    assert caught.value.code == "request.not_finite"


def test_a_cancel_message_names_a_request_or_the_running_one():
    assert parse_cancel({"schema": 1, "op": "cancel"}) is None
    assert parse_cancel({"schema": 1, "op": "cancel", "id": 7}) == 7
    for bad in (
        {"schema": 2, "op": "cancel"},
        {"schema": 1, "op": "cancel", "ids": 7},
        {"schema": 1, "op": "cancel", "id": True},
    ):
        with pytest.raises(RequestError):
            parse_cancel(bad)


def test_an_event_carries_its_kind_and_its_fields():
    assert protocol.event("failed", id=3, code="x") == {"event": "failed", "id": 3, "code": "x"}
    with pytest.raises(ValueError):
        protocol.event("finished")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)


@given(st.sampled_from(sorted(FULL | {"to": 0, "volumes_ml": 0, "mask": 0, "at": 0, "label": 0})), json_values)
@settings(max_examples=300, deadline=None)
def test_any_json_value_in_any_field_is_accepted_whole_or_refused_by_our_error(field, value):
    try:
        request = parse_request({**INSERT, field: value})
    except RequestError as error:
        assert error.code.startswith("request.")
    else:
        assert parse_request(json.loads(json.dumps(request.to_dict(), allow_nan=False))) == request
