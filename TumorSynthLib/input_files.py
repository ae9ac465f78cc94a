"""The files that a request reads, by the field that names them (standard library only)."""

import copy
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_FIELDS = ("image", "mask", "region", "labels")


def input_files(request: Mapping[str, Any]) -> dict[str, str]:
    """Path of each file that a request reads, by its place in the request.

    Parameters
    ----------
    request : the request as an object, ``Request.to_dict()``.

    Examples
    --------
    >>> input_files({"image": "a.nrrd", "mask": None, "like": {"image": "b.nrrd", "mask": "c.nrrd", "label": 1}})
    {'image': 'a.nrrd', 'like.image': 'b.nrrd', 'like.mask': 'c.nrrd'}
    >>> input_files({"image": "a.nrrd", "lesions": [{"at": [0, 0, 0]}, {"mask": "d.nrrd"}]})
    {'image': 'a.nrrd', 'lesions.1.mask': 'd.nrrd'}
    """
    return {name: str(fields[key]) for fields, key, name in _places(request, "")}


def with_absolute_files(request: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a request whose paths do not depend on the folder that a program is started in.

    >>> with_absolute_files({"image": os.path.join(os.sep, "data", "..", "a.nrrd")})["image"] == os.path.abspath("/a.nrrd")
    True
    """
    return with_files(request, os.path.abspath)


def with_files(request: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """A copy of a request with another path for each file.

    >>> with_files({"image": "a.nrrd", "like": {"image": "b.nrrd", "mask": "c.nrrd"}}, lambda path: f"there/{path}")
    {'image': 'there/a.nrrd', 'like': {'image': 'there/b.nrrd', 'mask': 'there/c.nrrd'}}
    """
    values: dict[str, Any] = copy.deepcopy(dict(request))
    for fields, key, _ in list(_places(values, "")):
        fields[key] = change(fields[key])
    return values


def _places(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[Any, str, str]]:
    """Each object that names a file, with the name's field in it and its place in the whole."""
    for key in _FIELDS:
        if isinstance(values.get(key), str):
            yield values, key, f"{prefix}{key}"
    like, lesions = values.get("like"), values.get("lesions") or ()
    if isinstance(like, Mapping):
        yield from _places(like, f"{prefix}like.")
    for number, lesion in enumerate(lesions):
        if isinstance(lesion, Mapping):
            yield from _places(lesion, f"{prefix}lesions.{number}.")
