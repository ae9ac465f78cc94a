"""What this version cannot do, refused before any file is opened."""

from TumorSynthLib.bundle import Bundle
from TumorSynthLib.errors import RequestError
from TumorSynthLib.protocol import Request, lesion_requests


def check_possible(request: Request, bundle: Bundle | None = None) -> None:
    """Refuse what this version or a bundle cannot do.

    Raises
    ------
    RequestError : for a method or option that is not there.
    """
    for one in (request, *lesion_requests(request)):
        _check(one, bundle)
    if request.out is None and not request.preview:
        raise RequestError("request.out", "The request names no result folder.", "Add 'out'.")
    if request.preview and request.out is not None:
        raise RequestError("request.preview", "A preview writes nothing, but the request names a folder.", "Remove 'out'.")


def _check(request: Request, bundle: Bundle | None) -> None:
    if bundle is not None and request.method not in bundle.methods:
        message = f"The bundle '{bundle.id}' has no method '{request.method}'."
        raise RequestError("request.method", message, f"Available: {', '.join(bundle.methods) or 'none'}.")
    if request.method == "flow" and request.op not in ("remove", "lesions"):
        _check_flow(request)
    for op, name in (("grow", "shape"), ("shape", "like")):
        if request.op == op and getattr(request, name):
            raise RequestError(f"request.{name}", f"The operation {op!r} cannot use '{name}'.", f"Remove '{name}'.")
    if request.rim > 0.0 and bundle is not None and not any(bundle.rim(domain.id) for domain in bundle.domains):
        message = f"The bundle '{bundle.id}' knows nothing about rims (asked: {request.rim:g})."
        raise RequestError("request.rim", message, "Set 'rim' to 0, or use a bundle that was made by a newer version.")


def _check_flow(request: Request) -> None:
    """Refuse what the method that makes mask and texture together cannot do."""
    volume = {"volume_ml", "shape_VoxelVolume"} & set(request.shape)
    if request.op != "insert" or request.mask is not None or (request.box is None and not volume):
        message = "The method 'flow' makes new tumors in a box, or around a point with a volume; the request is another."
        raise RequestError("request.method", message, "Give an insert with 'box', or with 'at' and a volume, or take 'bridge'.")
    for name in ("mass_effect", "rim", "core", "handmade"):
        if getattr(request, name):
            message = f"The method 'flow' makes mask and tumor together and cannot use '{name}'."
            raise RequestError(f"request.{name}", message, f"Remove '{name}', or take the method 'bridge'.")
