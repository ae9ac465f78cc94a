"""The steps of an export in their order: result, source, slices, segmentation, manifest."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from TumorSynthLib.atomic import AtomicFolder
from TumorSynthLib.dicom_export_manifest import manifest_of, source_checksums
from TumorSynthLib.dicom_export_options import MANIFEST_FILE, DicomOptions, Exported, Progress
from TumorSynthLib.dicom_export_plan import plan_export
from TumorSynthLib.dicom_export_result import read_result_folder
from TumorSynthLib.dicom_export_write import check_space, write_segmentation, write_slices
from TumorSynthLib.result import plain

_PLANNED, _WRITTEN, _SEGMENTED = 0.2, 0.85, 0.9
"""Shares of the whole at which the stages end."""


def run_export(
    folder: Path, out: Path, source: str | Path | Sequence[str | Path] | None, options: DicomOptions, progress: Progress
) -> Exported:
    """Export a result; see ``export_dicom``."""
    with AtomicFolder(out, options.overwrite, marker=MANIFEST_FILE) as target:
        progress("reading", 0.0)
        result = read_result_folder(folder)
        plan = plan_export(result, source, options, datetime.now(), _part(progress, 0.0, _PLANNED))
        check_space(target.out.parent, plan)
        slices = write_slices(plan, target, _part(progress, _PLANNED, _WRITTEN))
        progress("segmentation", _WRITTEN)
        segmentation = write_segmentation(plan, slices, target)
        report = _part(progress, _SEGMENTED, 1.0)
        checksums = source_checksums(plan.source, report)
        manifest = plain(manifest_of(plan, slices, segmentation, checksums))
        text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
        target.path(MANIFEST_FILE).write_text(text, encoding="utf-8", errors="backslashreplace")
        done = target.commit()
    progress("manifest", 1.0)
    return Exported(done, manifest, tuple(manifest["warnings"]))


def _part(progress: Progress, start: float, stop: float) -> Progress:
    """The progress of a part of the whole."""
    return lambda stage, share: progress(stage, start + share * (stop - start))
