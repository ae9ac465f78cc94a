"""Who is in which part: every patient in one only (standard library only)."""

import hashlib
from collections.abc import Iterable, Sequence

from TumorSynthLib.errors import DataError
from TumorSynthLib.train.readers.record import TEST, TRAIN, Record

TEST_SHARE = 0.2
"""Share of the patients that are kept back for testing where a data set has no split of its own."""


def part_of(patient: str, dataset: str, seed: int, share: float = TEST_SHARE) -> str:
    """The part of a patient by a stable hash, so that further patients never move the others.

    >>> part_of("case_00000", "kits23", 0) == part_of("case_00000", "kits23", 0)
    True
    """
    digest = hashlib.sha256(f"{seed}/{dataset}/{patient}".encode()).digest()
    return TEST if int.from_bytes(digest[:6], "big") < share * (1 << 48) else TRAIN


def choose_part(records: Sequence[Record], part: str, seed: int = 0, share: float = TEST_SHARE) -> list[Record]:
    """The records of a part.

    A data set's own split is kept. A patient with any scan in its test part belongs there with all scans.

    Parameters
    ----------
    records : all records.
    part : ``train``, ``test``, or ``all``.
    seed, share : of the split, for patients without an official one.

    Raises
    ------
    DataError : when the part is unknown or has no records.
    """
    if part not in (TRAIN, TEST, "all"):
        raise DataError("data.split", f"There is no split {part!r}.", f"Choose {TRAIN}, {TEST} or all.")
    parts = patient_parts(records, seed, share)
    chosen = [record for record in records if part in ("all", parts[record.dataset, record.patient])]
    if not chosen:
        message = f"None of the {len(parts)} patients is in the split {part!r} (seed {seed}, test share {share:g})."
        raise DataError("data.split", message, "Choose another seed or share, or the split all.")
    return chosen


def patient_parts(records: Iterable[Record], seed: int, share: float) -> dict[tuple[str, str], str]:
    """The part of every patient, by data set and patient."""
    official: dict[tuple[str, str], set[str]] = {}
    for record in records:
        official.setdefault((record.dataset, record.patient), set()).update({record.split} - {""})
    parts = {}
    for (dataset, patient), told in official.items():
        parts[dataset, patient] = TEST if TEST in told else TRAIN if told else part_of(patient, dataset, seed, share)
    return parts
