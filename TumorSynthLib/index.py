"""The index of a data folder: which images there are, and which domain each belongs to."""

import csv
from pathlib import Path

from TumorSynthLib.configs import DOMAINS, Domain
from TumorSynthLib.errors import DataError


def read_index(data: Path, split: str) -> list[dict[str, str]]:
    """Rows of ``index.csv`` that have an image in the given split.

    Raises
    ------
    DataError : when there is no index or the split has no images; the message lists the splits found.
    """
    path = data / "index.csv"
    if not path.exists():
        raise DataError(
            "data.index", f"There is no index.csv in {data}.", "Give the folder that holds index.csv, images/ and shapes/."
        )
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["role"] != "shape"]
    chosen = [row for row in rows if row["split"] == split]
    if not chosen:
        found = ", ".join(sorted({row["split"] for row in rows}))
        raise DataError("data.split", f"No image has the split {split!r}; the index has: {found}.")
    return chosen


def domain_of(row: dict[str, str]) -> Domain:
    """The domain of an index row, from its organ and modality.

    Raises
    ------
    DataError : when none fits.
    """
    modality, organ = row["modality"], row["organ"]
    if modality == "CT":
        if organ.startswith("soft tissue"):
            name = "soft-tissue-ct"
        else:
            name = "lung-ct" if organ in ("lung", "chest") else "abdomen-ct"
    elif modality.startswith("PET"):
        name = "head-neck-pet" if organ == "head and neck" else "soft-tissue-pet"
    elif organ == "breast":
        name = "breast-dce"
    elif organ == "brain":
        name = {"MR-T1": "brain-t1", "MR-T1c": "brain-t1c", "MR-T2": "brain-t2", "MR-FLAIR": "brain-flair"}.get(
            modality, modality
        )
    else:
        name = "soft-tissue-t1"
    for domain in DOMAINS:
        if domain.id == name:
            return domain
    raise DataError("data.domain", f"No domain fits organ {organ!r} and modality {modality!r} of {row['id']}.")
