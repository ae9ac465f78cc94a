"""Model bundles: weights that travel with their licence, their card, every config and a checksum of each file.

A bundle is a folder ``models/<id>/`` with ``bundle.json``, ``CARD.md`` and one ``<network>.safetensors`` per network, in
half precision. Pickles are never loaded. Bundles are looked for inside the installed package, beside it (a source tree),
and in the folder that the environment variable ``TUMORSYNTH_MODELS`` names.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from TumorSynthLib import bundle_checks as check
from TumorSynthLib.atomic import AtomicFolder
from TumorSynthLib.configs import Domain, domain_from_dict
from TumorSynthLib.errors import BundleError

if TYPE_CHECKING:  # reading a card or a domain must not wait for torch
    import numpy as np
    from torch import Tensor

    from TumorSynthLib.joint import JointModel

SCHEMA = check.SCHEMA
BUNDLE_FILE = "bundle.json"
CARD_FILE = "CARD.md"
MODELS_VARIABLE = "TUMORSYNTH_MODELS"

_HALF_MAX = 65504.0


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle whose files have been verified."""

    path: Path
    """Its folder."""
    info: dict[str, Any] = field(repr=False)
    """The whole of ``bundle.json``."""
    card: str = field(repr=False)
    """The text of ``CARD.md``."""
    sha256: str
    """Checksum of ``bundle.json``, which holds the checksums of the weights."""

    @property
    def id(self) -> str:
        """Name used in requests."""
        return str(self.info["id"])

    @property
    def version(self) -> str:
        """Version of the weights."""
        return str(self.info["version"])

    @property
    def licence(self) -> str:
        """Licence of the weights."""
        return str(self.info["licence"])

    @property
    def identity(self) -> dict[str, str]:
        """What a result says about its bundle: id, version and sha256."""
        return {"id": self.id, "version": self.version, "sha256": self.sha256}

    @cached_property
    def domains(self) -> tuple[Domain, ...]:
        """The organs and modalities that the bundle knows."""
        return tuple(domain_from_dict(entry) for entry in self.info["domains"])

    @property
    def configs(self) -> dict[str, dict[str, Any]]:
        """Config of each network by name."""
        return dict(self.info["networks"])

    @property
    def methods(self) -> tuple[str, ...]:
        """The synthesis methods that its network was trained for; none where there is no such network."""
        config = self.configs.get("bridge")
        return () if config is None else tuple(config.get("methods", ("bridge",)))

    @property
    def shape_statistics(self) -> dict[str, Any]:
        """What the shape generator needs to know about the shapes it was trained on."""
        return dict(self.info.get("shape_statistics") or {})

    def domain(self, domain_id: str) -> Domain:
        """The domain of that id.

        Raises
        ------
        BundleError : ``bundle.domain``, with the ids that there are.
        """
        return domain_from_dict(self._entry(domain_id))

    def statistics(self, domain_id: str) -> dict[str, dict[str, Any]]:
        """Mean, standard deviation and 33 quantiles of each feature by name, in the domain's unit.

        A domain without training images of its own answers with those of the domain it is trained as.
        """
        entry = self._entry(domain_id)
        own = entry.get("statistics")
        if not own and entry.get("trained_as"):
            return self.statistics(entry["trained_as"])
        return dict(own or {})

    def removal_weight(self, domain_id: str) -> float:
        """How much of what the network changes about the harmonic fill is kept in removal, 0 to 1."""
        return float(self._entry(domain_id).get("removal_weight", 1.0))

    def exemplars(self, domain_id: str) -> list[dict[str, float]]:
        """Texture features and volume of real tumors of a domain; may be empty."""
        return list(self._entry(domain_id).get("exemplars") or [])

    def part_exemplars(self, domain_id: str) -> list[dict[str, dict[str, float]]]:
        """Texture features and volume of the ``core`` and of the ``rest`` of real tumors of a domain; may be empty."""
        return list(self._entry(domain_id).get("part_exemplars") or [])

    def follows_tissue(self, domain_id: str) -> float:
        """By what share of a difference of the tissue beside them a domain's tumors differ; 0 where it is not known."""
        return float(self._entry(domain_id).get("follows_tissue", 0.0))

    def joint(self, domain_id: str) -> "JointModel | None":
        """How texture features and volume of a domain's tumors vary together; None where the bundle does not say.

        Like ``statistics``, and the two below, it answers with those of the domain that a domain is trained as.
        """
        from TumorSynthLib.joint import JointModel

        if domain_id not in self._joints:
            entry = self._known_of(domain_id, "joint")
            self._joints[domain_id] = JointModel.from_dict(entry) if entry else None
        return self._joints[domain_id]

    def joint_distances(self, domain_id: str) -> "np.ndarray":
        """Equally spaced quantiles of the distances of real tumors from the joint model; may be empty."""
        import numpy as np

        return np.array(self._known_of(domain_id, "joint").get("distances", "").split(), dtype=np.float64)

    def agreements(self, domain_id: str) -> "np.ndarray":
        """Equally spaced quantiles of the agreement of real tumors' masks with their images; may be empty."""
        import numpy as np

        return np.array(self._known_of(domain_id, "agreement").get("quantiles", "").split(), dtype=np.float64)

    @cached_property
    def _joints(self) -> "dict[str, JointModel | None]":
        """Joint models that have been read."""
        return {}

    def _known_of(self, domain_id: str, name: str) -> dict[str, Any]:
        """An entry of a domain, or of the domain that it is trained as; empty where there is none."""
        entry = self._entry(domain_id)
        if not entry.get(name) and entry.get("trained_as"):
            return self._known_of(entry["trained_as"], name)
        return dict(entry.get(name) or {})

    def rim(self, domain_id: str) -> dict[str, Any] | None:
        """The rims of a domain's real tumors (see ``train.rim_statistics``); None in bundles that do not have them."""
        entry = self._entry(domain_id).get("rim")
        return dict(entry) if entry else None

    def radiomics(self, domain_id: str) -> dict[str, Any]:
        """The pinned PyRadiomics settings of a domain."""
        return dict(self._entry(domain_id)["pyradiomics"])

    def network(self, name: str) -> dict[str, Any]:
        """The config of a network as it was trained.

        Raises
        ------
        BundleError : ``bundle.network``, with the names that there are.
        """
        if name not in self.info["networks"]:
            raise _unknown("network", name, self.info["networks"], self.id)
        return dict(self.info["networks"][name])

    def weights(self, name: str) -> dict[str, "Tensor"]:
        """The weights of a network by parameter name, floating point ones in float32, on the CPU.

        Raises
        ------
        BundleError : ``bundle.network`` for an unknown name, ``bundle.broken`` for a file that cannot be read.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        file = f"{name}.safetensors"
        if file not in self.info["files"]:
            raise _unknown("network", name, [Path(known).stem for known in self.info["files"]], self.id)
        try:
            tensors = load_file(self.path / file)
        except (SafetensorError, OSError) as error:
            raise BundleError("bundle.broken", f"{self.path / file} cannot be read: {error}.", check.RESTORE) from error
        return {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}

    def _entry(self, domain_id: str) -> dict[str, Any]:
        for entry in self.info["domains"]:
            if entry["id"] == domain_id:
                return dict(entry)
        raise _unknown("domain", domain_id, [entry["id"] for entry in self.info["domains"]], self.id)


def models_folders() -> tuple[Path, ...]:
    """The folders that hold bundles, in the order in which they are searched."""
    package = Path(__file__).resolve().parent
    named = os.environ.get(MODELS_VARIABLE)
    folders = [package / "models", package.parent / "models", *([Path(named).expanduser()] if named else [])]
    return tuple(folder for folder in folders if folder.is_dir())


def list_bundles(models_dir: str | Path | None = None) -> tuple[str, ...]:
    """Names of the bundles that there are, sorted; whether they are whole is told by ``load_bundle``.

    Parameters
    ----------
    models_dir : folder of bundles; all of ``models_folders`` when None.
    """
    folders = models_folders() if models_dir is None else (Path(models_dir),)
    found = (path.parent.name for folder in folders for path in folder.glob(f"*/{BUNDLE_FILE}"))
    return tuple(sorted({name for name in found if check.is_plain_name(name)}))


def load_bundle(name_or_path: str | Path, models_dir: str | Path | None = None) -> Bundle:
    """A bundle, with every file of it verified.

    Parameters
    ----------
    name_or_path : a name such as ``base``, or the bundle's folder as a ``Path``.
    models_dir : folder of bundles; all of ``models_folders`` when None.

    Raises
    ------
    BundleError : ``bundle.name`` for a name with path parts, ``bundle.missing``, ``bundle.card``, ``bundle.licence``,
        ``bundle.schema``, ``bundle.broken`` for a description that is incomplete, ``bundle.pickle`` for weights that are
        not safetensors, ``bundle.checksum`` for a file that is missing or not the one described.
    """
    path = name_or_path if isinstance(name_or_path, Path) else _find(name_or_path, models_dir)
    description = path / BUNDLE_FILE
    if not description.is_file():
        raise BundleError("bundle.missing", f"{path} holds no {BUNDLE_FILE}.", "Choose the folder of a bundle.")
    content = description.read_bytes()
    info = check.parse_description(content, description)
    card = path / CARD_FILE
    if not card.is_file() or not card.read_text(encoding="utf-8").strip():
        raise BundleError("bundle.card", f"Bundle '{info['id']}' has no {CARD_FILE}.", "A bundle is used only with its card.")
    check.check_files(path, info["files"])
    return Bundle(path, info, card.read_text(encoding="utf-8"), hashlib.sha256(content).hexdigest())


def domain_entry(domain: Domain, statistics: Mapping[str, Any]) -> dict[str, Any]:
    """What ``bundle.json`` says about a domain.

    Parameters
    ----------
    domain : the domain.
    statistics : of each feature by name: mean, sd, quantiles.
    """
    norm = domain.normalization
    entry = {**asdict(domain), "statistics": dict(statistics), "pyradiomics": domain.radiomics}
    return entry | {"normalization": {**asdict(norm), "formula": norm.formula, "scope": norm.scope}}


def write_bundle(
    folder: str | Path,
    info: Mapping[str, Any],
    weights: Mapping[str, Mapping[str, "Tensor"]],
    card: str,
    overwrite: bool = False,
) -> Path:
    """Write a bundle, whole or not at all.

    Parameters
    ----------
    folder : where; its name is usually the bundle's id.
    info : what ``bundle.json`` says, without ``schema`` and ``files``; for its domains see ``domain_entry``.
    weights : parameters by network name; floating point ones are written in float16.
    card : the text of ``CARD.md``.
    overwrite : whether an existing bundle there is replaced.

    Raises
    ------
    BundleError : ``bundle.weights`` when a weight does not fit into half precision, and as ``load_bundle``.
    OutputError : when the folder cannot be written.
    """
    from safetensors.torch import save

    with AtomicFolder(folder, overwrite, marker=BUNDLE_FILE) as partial:
        files: dict[str, dict[str, Any]] = {}
        for name, tensors in weights.items():
            path = partial.path(f"{name}.safetensors")
            # Written as any other file: ``save_file`` makes one that nobody but its owner may read.
            path.write_bytes(save({key: _half(f"{name}: {key}", value) for key, value in tensors.items()}))
            files[path.name] = {"sha256": check.sha256_of(path), "bytes": path.stat().st_size}
        complete = {"schema": SCHEMA, **info, "files": files}
        text = json.dumps(complete, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        partial.path(BUNDLE_FILE).write_text(text, encoding="utf-8", newline="\n")
        partial.path(CARD_FILE).write_text(card, encoding="utf-8", newline="\n")
        load_bundle(partial.path(BUNDLE_FILE).parent)
        return partial.commit()


def _half(name: str, value: "Tensor") -> "Tensor":
    if not value.is_floating_point():
        return value.detach().cpu().contiguous().clone()
    if not bool((value.detach().abs() <= _HALF_MAX).all()):
        message = f"Weight {name} is not finite or larger than half precision holds."
        raise BundleError("bundle.weights", message, "Train again from an earlier checkpoint.")
    return value.detach().cpu().half().contiguous().clone()


def _find(name: str, models_dir: str | Path | None) -> Path:
    if not check.is_plain_name(name):
        raise BundleError("bundle.name", f"{name!r} is not the name of a bundle.", "Give a name such as 'base'.")
    folders = models_folders() if models_dir is None else (Path(models_dir),)
    for folder in folders:
        if (folder / name).is_dir():
            return folder / name
    known = ", ".join(list_bundles(models_dir)) or "none"
    hint = f"Choose one of the bundles there are ({known}), or set {MODELS_VARIABLE} to the folder that holds yours."
    raise BundleError("bundle.missing", f"There is no bundle '{name}'.", hint)


def _unknown(kind: str, name: str, known: Any, bundle: str) -> BundleError:
    return BundleError(f"bundle.{kind}", f"Bundle '{bundle}' has no {kind} '{name}'.", f"It has {', '.join(known) or 'none'}.")
