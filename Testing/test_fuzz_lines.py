"""Anything at all in the place of a request: it is refused by our error, or gives a request that survives its own JSON.

``TUMORSYNTH_FUZZ=20`` draws 20 times more examples.
"""

import base64
import io
import json
import math
import shutil
import sys
import tarfile
import tempfile
import tracemalloc
import zlib
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_checks import drawn, mutated, mutations
from hypothesis import given
from hypothesis import strategies as st

from TumorSynthLib.errors import RequestError
from TumorSynthLib.mask_code import decode_mask, encode_mask
from TumorSynthLib.protocol import OPS, Request, event, parse_cancel, parse_line, parse_request
from TumorSynthLib.volume import Geometry
from TumorSynthLib.worker_archive import unpacked
from TumorSynthLib.worker_events import EventWriter
from TumorSynthLib.worker_files import Uploads
from TumorSynthLib.worker_io import Inbox

INSERT = {"schema": 1, "op": "insert", "image": "scan.nrrd", "at": [-30, 12.5, 85]}
EDIT = {"schema": 1, "op": "edit", "image": "scan.nrrd", "mask": "mask.nrrd"}
VALID: tuple[dict[str, Any], ...] = (
    INSERT,
    {"schema": 1, "op": "insert", "image": "a", "box": [[10, 20, 30], [-10, 40, 50]], "region": "r", "id": 3, "out": "o"},
    {
        **EDIT,
        "shape": {"volume_ml": 12.0, "sphericity": 0.75, "elongation": 0.8, "flatness": 0.7, "shape_MajorAxisLength": 31.0},
        "texture": {"firstorder_Mean": -45.0, "glcm_Contrast": 8.1},
        "core": {"label": 2, "texture": {"firstorder_Mean": 3}},
        "like": {"image": "other.nrrd", "mask": "other_mask.nrrd", "label": 2},
        **{"steps": 20, "guidance": 2, "candidates": 4, "seed": 2**63 - 1, "device": "cuda:1", "noise": False, "rim": 1},
    },
    {**EDIT, "op": "remove"},
    {**EDIT, "op": "move", "to": [1, 2, 3]},
    {**EDIT, "op": "grow", "volumes_ml": [4, 8, 16]},
    {"schema": 1, "op": "shape", "shape": {"volume_ml": 12.0}},
    {
        "schema": 1,
        "op": "insert",
        "image": "a",
        "handmade": "tiny",
        "region": "r",
        "shape": {"volume_ml": 1},
        "tumor_domain": "d",
    },
    {"schema": 1, "op": "lesions", "image": "a", "lesions": [{"at": [1, 2, 3], "name": "A"}, {"op": "remove", "mask": "m"}]},
)
OTHER_LINES: tuple[dict[str, Any], ...] = (
    {"schema": 1, "op": "cancel", "id": "a"},
    {"schema": 1, "op": "have", "id": 1, "names": [f"{0:064x}.nrrd"]},
    {"schema": 1, "op": "upload", "id": 1, "name": f"{0:064x}.nrrd", "offset": 0, "data": "QUJD", "last": True},
)

numbers = (
    st.integers()
    | st.floats()
    | st.sampled_from([0, -0.0, 1e-320, 1.7e308, 10**400, 10**4000, 2**63, -(2**63) - 1, math.nan, math.inf, -math.inf])
)
texts = st.text(max_size=8) | st.sampled_from(
    ["", " ", "\0", "a\0b", "\ud800", "\udfff", "é", "x" * 5000, "../a", "/dev/zero", "NaN", "1e400", "1", "true", "null", *OPS]
)
names = st.sampled_from([item.name for item in fields(Request)]) | texts
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, item in inside for path in ((*before, key), *places(item, (*before, key)))]


@st.composite
def broken_requests(draw: Any, valid: tuple[dict[str, Any], ...] = VALID) -> dict[str, Any]:
    """A good request in which something, anywhere, was replaced, taken away or added."""
    request = deepcopy(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(1, 2))):
        *path, key = draw(st.sampled_from(places(request) or [("op",)]))
        holder: Any = request
        for step in path:
            holder = holder[step]
        what = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if what == "replace":
            holder[key] = draw(json_values)
        elif what == "remove":
            del holder[key]
        elif isinstance(holder, dict):
            holder[draw(names)] = draw(json_values)
    return request


def accepted(values: Any) -> bool:
    """Whether a request is taken, after everything that must hold then; refused it is by our own error."""
    try:
        request = parse_request(values)
    except RequestError as error:
        assert error.code.startswith("request.") and error.message.endswith(".") and error.hint
        assert len(str(error)) < 3000
        return False
    assert parse_request(request.to_dict()) == request
    assert parse_line(json.dumps(request.to_dict(), allow_nan=False)) == request
    return True


def test_the_good_requests_are_good() -> None:
    assert all(map(accepted, VALID))


@given(broken_requests())
@drawn(300)
def test_a_request_with_anything_anywhere_is_accepted_whole_or_refused(values: dict[str, Any]) -> None:
    accepted(values)


@given(json_values | st.dictionaries(names, json_values, max_size=6))
@drawn(150)
def test_any_value_is_no_request_or_a_whole_one(values: Any) -> None:
    accepted(values)
    try:
        name = parse_cancel(values)
    except RequestError as error:
        assert error.code.startswith("request.") and error.hint
    else:
        assert name is None or isinstance(name, str | int)


@given(broken_requests(({"schema": 1, "op": "cancel", "id": "a"}, {"schema": 1, "op": "cancel"})))
@drawn(100)
def test_a_cancellation_with_anything_anywhere_names_a_request_or_is_refused(values: dict[str, Any]) -> None:
    try:
        name = parse_cancel(values)
    except RequestError as error:
        assert error.code.startswith("request.") and error.hint
    else:
        assert name == values.get("id")


@pytest.mark.parametrize("field", [item.name for item in fields(Request)])
@pytest.mark.parametrize(
    "value", [10**5000, -(10**5000), "x" * 10**5, {"x" * 10**5: 1}], ids=["number", "negative", "text", "name"]
)
def test_very_long_values_are_told_in_short(field: str, value: Any) -> None:
    accepted({**INSERT, field: value})


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("field", [item.name for item in fields(Request)])
def test_lists_in_lists_without_end_are_refused(field: str) -> None:
    assert not accepted({**INSERT, field: nested(5000)})
    assert not accepted({**INSERT, field: {"shape_Sphericity": nested(5000), "image": nested(5000), "label": nested(5000)}})


def test_lists_in_lists_as_deep_as_json_is_read_are_refused() -> None:
    limit = sys.getrecursionlimit()
    for depth in range(limit - 150, limit + 10, 3):
        with pytest.raises(RequestError):
            parse_line('{"schema": 1, "op": "insert", "image": ' + "[" * depth + "]" * depth + "}")


@given(st.sampled_from(VALID), mutations)
@drawn(200)
def test_a_line_with_any_accidents_is_accepted_whole_or_refused(values: dict[str, Any], changes: Any) -> None:
    line = mutated(json.dumps(values).encode(), changes).decode("utf-8", "replace")
    try:
        request = parse_line(line)
    except RequestError as error:
        assert error.code.startswith("request.") and error.hint
    else:
        assert parse_request(request.to_dict()) == request


# The worker's inbox


class Recorder(EventWriter):
    """Keeps events, each of which must be strict JSON on one line."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def send(self, name: str, /, **values: Any) -> None:
        assert "\n" not in json.dumps({**event(name), **values}, allow_nan=False)
        self.told.append(name)


def said(line: bytes | None) -> list[str]:
    """The events that a line causes, and of its request when the inbox is closed."""
    events = Recorder()
    with Uploads(1 << 16, print) as uploads:
        inbox = Inbox(events, uploads)
        inbox.take(line)
        inbox.close()
    return events.told


def as_line(values: Any) -> bytes:
    """A request as a line, with what is no JSON spelled as Python does."""
    return json.dumps(values).encode()


def lines(valid: tuple[dict[str, Any], ...]) -> Any:
    """Lines with something else anywhere in them, or after accidents of their bytes."""
    return st.builds(as_line, broken_requests(valid)) | st.builds(mutated, st.sampled_from(valid).map(as_line), mutations)


@given(lines(VALID) | st.binary(max_size=40))
@drawn(200)
def test_each_line_is_one_failure_or_one_request(line: bytes) -> None:
    line = line.replace(b"\n", b" ")
    told = said(line)
    if line.strip():
        assert told in (["failed"], ["cancelled"])
    else:
        assert told == []


@given(lines(OTHER_LINES))
@drawn(150)
def test_a_line_that_is_no_request_has_at_most_one_answer(line: bytes) -> None:
    told = said(line)
    assert len(told) <= 1 and set(told) <= {"failed", "cancelled", "log", "have", "received"}


@pytest.mark.parametrize("line", [b"", b" ", b"\r", b"\t \r"])
def test_a_blank_line_says_nothing(line: bytes) -> None:
    assert said(line) == []


def test_a_line_that_is_too_long_fails_once() -> None:
    assert said(None) == ["failed"]


# Masks in lines


def mask_values() -> dict[str, Any]:
    mask = np.zeros((9, 8, 7), bool)
    mask[2:7, 1:6, 2:5] = np.random.default_rng(0).random((5, 5, 3)) < 0.5
    return encode_mask(mask, Geometry(mask.shape, np.diag([1.0, 2.0, 3.0, 1.0])))


def decoded(values: Any) -> None:
    """A mask from values, or our error; nothing else."""
    try:
        mask = decode_mask(values)
    except RequestError as error:
        assert error.code == "preview.broken" and error.hint and len(error.message) < 500
    else:
        assert mask.array.dtype == bool and list(mask.array.shape) == values["shape"]
        assert np.isfinite(np.linalg.inv(mask.geometry.affine)).all()


@given(broken_requests((mask_values(),)) | json_values)
@drawn(200)
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_mask_with_anything_anywhere_is_decoded_or_refused(values: Any) -> None:
    decoded(values)


@pytest.mark.parametrize("last", [[0, 0, 0, False], [0, 0, 0, 2], [1, 0, 0, 1], [0, 0, 0]])
def test_a_mask_whose_affine_is_no_affine_is_refused(last: list[Any]) -> None:
    values = mask_values()
    with pytest.raises(RequestError):
        decode_mask({**values, "affine": [*values["affine"][:3], last]})


@given(mutations, st.booleans())
@drawn(100)
def test_the_bits_of_a_mask_after_any_accidents_are_decoded_or_refused(changes: Any, inside: bool) -> None:
    values = mask_values()
    bits = base64.b64decode(values["bits"]) if inside else values["bits"].encode()
    broken = mutated(bits, changes)
    decoded({**values, "bits": base64.b64encode(broken).decode() if inside else broken.decode("latin-1")})


@pytest.mark.parametrize("shape", [[1, 1, 1], [4, 4, 4], [2**21, 2**21, 2**22], [2**40, 1, 1], [0, 5, 5], [-1, -1, 1]])
def test_a_mask_that_unfolds_without_end_costs_no_memory(shape: list[int]) -> None:
    bits = base64.b64encode(zlib.compress(bytes(64 << 20))).decode()
    tracemalloc.start()
    with pytest.raises(RequestError):
        decode_mask({**mask_values(), "shape": shape, "bits": bits})
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 << 20


# Archives of files


def archive(folder: Path, mode: str = "w") -> Path:
    """An archive of two small files, as a client sends it."""
    path = folder / "a.mhd.tar"
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as packed:
        for name in ("a.mhd", "a.raw"):
            member = tarfile.TarInfo(name)
            member.size = 600
            packed.addfile(member, io.BytesIO(bytes(600)))
    return path


def left_over(path: Path) -> set[Path]:
    """What lies beside an archive after it was unpacked or refused."""
    try:
        folder = unpacked(path)
    except RequestError as error:
        assert error.code == "upload.archive" and error.hint
        return set(path.parent.iterdir()) - {path}
    assert all(item.is_file() and item.stat().st_size <= 1200 for item in folder.iterdir())
    shutil.rmtree(folder)
    return set(path.parent.iterdir())


@given(mutations)
@drawn(150)
def test_an_archive_after_any_accidents_is_unpacked_or_leaves_nothing(changes: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = archive(Path(folder))
        path.write_bytes(mutated(path.read_bytes(), changes))
        assert left_over(path) == set()


@pytest.mark.parametrize("mode", ["w:gz", "w:xz"])
def test_an_archive_is_never_inflated(tmp_path: Path, mode: str) -> None:
    assert left_over(archive(tmp_path, mode)) == set() and (tmp_path / "a.mhd.tar").exists()


def test_an_archive_cannot_hold_more_than_its_own_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.mhd.tar"
    member = tarfile.TarInfo("a.raw")
    member.size = 512
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 40)}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as packed:
        packed.addfile(member, io.BytesIO(b"0\n".ljust(512, b"\0")))
    assert left_over(path) == set() and path.exists()
