"""Which domain an image belongs to: as asked, or by metadata and intensities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from TumorSynthLib.configs import Domain
from TumorSynthLib.errors import RequestError
from TumorSynthLib.volume import Volume, some_voxels

_MODALITIES = {"CT": "CT", "MR": "MR", "PT": "PET"}


@dataclass(frozen=True)
class Recognition:
    """What an image shows."""

    domain: Domain | None
    """Its domain; None where that cannot be told."""
    modality: str
    """``CT``, ``MR``, ``PET`` or empty where nothing tells."""
    candidates: tuple[Domain, ...]
    """The domains of that modality, or all where none is known."""
    found: str
    """What there is to go by, where that is not enough."""

    @property
    def sentence(self) -> str:
        """The same for the user."""
        if self.domain is None:
            return f"The domain cannot be told from this file (found {self.found})."
        others = "; name another one if that is wrong" if self.modality == "CT" else ""
        return f"The domain was found to be {self.domain.id}{others}."


def choose_domain(
    asked: str, domains: Sequence[Domain], scan: Volume, metadata: Mapping[str, str], center_ras: np.ndarray
) -> tuple[Domain, list[str]]:
    """The domain of an edit, and what the user should know about the choice.

    Parameters
    ----------
    asked : id of a domain, or ``auto``.
    domains : domains of the bundle.
    scan : the image.
    metadata : what the file tells of itself (``modality``), may be empty.
    center_ras : where the edit is, RAS mm; a CT shows lung there or it does not.

    Raises
    ------
    RequestError : for an unknown id, and where ``auto`` cannot tell; both list the domains.
    """
    if asked != "auto":
        return named_domain(asked, domains), []
    found = recognized(domains, scan, metadata, center_ras)
    if found.domain is not None:
        return found.domain, [found.sentence]
    listing = ", ".join(domain.id for domain in found.candidates)
    raise RequestError("request.domain", found.sentence, f"Name one of: {listing}.")


def recognized(domains: Sequence[Domain], scan: Volume, metadata: Mapping[str, str], center_ras: np.ndarray) -> Recognition:
    """The domain of an image by metadata and intensities, or which ones it may be; parameters as for ``choose_domain``."""
    told = _MODALITIES.get(metadata.get("modality", ""), "")
    modality = told or ("CT" if looks_like_ct(scan.array) else "")
    fitting = tuple(domain for domain in domains if modality and domain.modality.startswith(modality))
    candidates = fitting or tuple(domains)
    if modality == "CT":
        wanted = "lung-ct" if lung_share(scan, center_ras) > 0.25 else "soft-tissue-ct"
        for domain in domains:
            if domain.id == wanted:
                return Recognition(domain, modality, candidates, "")
    if told and len(fitting) == 1:
        return Recognition(fitting[0], modality, candidates, "")
    if told:
        return Recognition(None, modality, candidates, f"{told} in general")
    values = f"values from {scan.array.min():g} to {scan.array.max():g}, no modality in the file"
    return Recognition(None, modality, candidates, values)


def named_domain(name: str, domains: Sequence[Domain]) -> Domain:
    """The domain of that id.

    Raises
    ------
    RequestError : when there is none; the hint lists them.
    """
    for domain in domains:
        if domain.id == name:
            return domain
    listing = ", ".join(domain.id for domain in domains)
    raise RequestError("request.domain", f"The bundle has no domain {name!r}.", f"It has: {listing}.")


def tumor_domain(name: str, domain: Domain, domains: Sequence[Domain]) -> Domain:
    """The domain whose tumors are wanted in scans of another one.

    Parameters
    ----------
    name : its id.
    domain : of the scan.
    domains : of the bundle.

    Raises
    ------
    RequestError : for an unknown id, and for a domain whose values mean something else; both list the domains that do.
    """
    possible = [other for other in domains if _same_values(other, domain)]
    found = next((other for other in domains if other.id == name), None)
    if found is not None and _same_values(found, domain):
        return found
    reason = f"The bundle has no domain {name!r} for the tumor."
    if found is not None:
        kinds = [f"{one.id} ({one.modality}, {one.unit}, {one.center:g} +- {one.scale:g})" for one in (found, domain)]
        reason = f"Tumors of {kinds[0]} cannot be made in a scan of {kinds[1]}: modality, unit and range must be the same."
    raise RequestError("request.tumor_domain", reason, f"Possible are: {', '.join(other.id for other in possible)}.")


def _same_values(a: Domain, b: Domain) -> bool:
    """Whether the networks see the same tissue alike in both."""
    kinds = [(one.modality.split("-")[0], one.unit, one.normalization, one.center, one.scale) for one in (a, b)]
    return kinds[0] == kinds[1]


def tissue(u: np.ndarray, domain: Domain) -> np.ndarray:
    """Voxels that are tissue (lung included) rather than air around the patient, by a threshold that suits the modality."""
    if domain.modality == "CT":
        return u > (-1010.0 if domain.id == "lung-ct" else -250.0)
    return u > (0.2 if domain.unit == "SUV" else 8.0)


def looks_like_ct(array: np.ndarray) -> bool:
    """Whether values look like Hounsfield units: air near -1000 in a fair share of the image, tissue around 0."""
    flat = some_voxels(array, 200_000)
    low, high = float(flat.min()), float(flat.max())
    tissue = float(np.mean((flat > -200) & (flat < 300)))
    return -3100.0 <= low <= -300.0 and high <= 32767.0 and tissue > 0.02


def lung_share(scan: Volume, center_ras: np.ndarray, reach_mm: float = 35.0) -> float:
    """Share of voxels with the attenuation of aerated lung (-950 to -600 HU) within a cube around a point."""
    at = np.rint(scan.geometry.to_ijk(center_ras)).astype(int)
    reach = np.ceil(reach_mm / scan.geometry.spacing).astype(int)
    start, stop = (np.clip(edge, 0, scan.array.shape) for edge in (at - reach, at + reach + 1))
    part = scan.array[start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]]
    return float(np.mean((part > -950) & (part < -600))) if part.size else 0.0
