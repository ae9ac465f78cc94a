"""What there is to know of the bundles before one is used."""

from typing import Any

from TumorSynthLib.bundle import list_bundles, load_bundle
from TumorSynthLib.errors import BundleError


def described_bundles() -> list[dict[str, Any]]:
    """Of each bundle identity, licence, intended use, path and domains; of a broken one its ``id`` and the ``error``.

    Of a domain ``id``, ``organ``, ``modality``, ``unit``, and ``rim``: whether its tumors can have one.
    """
    return [_described(name) for name in list_bundles()]


def _described(name: str) -> dict[str, Any]:
    try:
        bundle = load_bundle(name)
    except BundleError as error:
        return {"id": name, "error": str(error)}
    names, rim = ("id", "organ", "modality", "unit"), any(bundle.rim(item.id) for item in bundle.domains)
    domains = [{**{name: getattr(item, name) for name in names}, "rim": rim} for item in bundle.domains]
    texts = {"licence": bundle.licence, "intended_use": bundle.info["intended_use"], "path": str(bundle.path)}
    return {**bundle.identity, **texts, "domains": domains}
