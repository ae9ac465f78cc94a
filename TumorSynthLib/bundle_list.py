"""What there is to know of the bundles before one is used."""

from typing import Any

from TumorSynthLib.bundle import Bundle, list_bundles, load_bundle
from TumorSynthLib.errors import BundleError


def described_bundles() -> list[dict[str, Any]]:
    """Of each bundle identity, licence, intended use, path, methods and domains; of a broken one ``id`` and ``error``.

    Of a domain ``id``, ``organ``, ``modality``, ``unit``, and ``rim``: whether its tumors can have one.
    """
    return [_described(name) for name in list_bundles()]


def _described(name: str) -> dict[str, Any]:
    try:
        bundle = load_bundle(name)
    except BundleError as error:
        return {"id": name, "error": str(error)}
    names = ("id", "organ", "modality", "unit")
    domains = [{**{name: getattr(item, name) for name in names}, "rim": _has_rim(bundle, item.id)} for item in bundle.domains]
    texts = {"licence": bundle.licence, "intended_use": bundle.info["intended_use"], "path": str(bundle.path)}
    return {**bundle.identity, **texts, "methods": list(bundle.methods), "domains": domains}


def _has_rim(bundle: Bundle, domain_id: str) -> bool:
    """Whether the tissue beside the domain's real tumors was found to differ from other tissue."""
    return bool((bundle.rim(domain_id) or {}).get("contrast"))
