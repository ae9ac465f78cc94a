"""Archives of files that a worker was sent: DICOM folders, and headers with their voxels apart (standard library only)."""

import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from TumorSynthLib.errors import RequestError
from TumorSynthLib.transfer import ARCHIVE, FOLDER_ARCHIVE


def unpacked(archive: Path) -> Path:
    """The folder with the files of an archive, which is removed.

    Raises
    ------
    RequestError : when it cannot be unpacked, or would write elsewhere.
    """
    folder = Path(tempfile.mkdtemp(dir=archive.parent))
    try:
        with tarfile.open(archive, "r:") as packed:
            for member in packed:
                _unpack(packed, member, folder)
    except (tarfile.TarError, OSError, ValueError, OverflowError, RequestError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, RequestError):
            raise
        message = f"The archive cannot be unpacked: {error}."
        raise RequestError("upload.archive", message, "Check the free space for temporary files there.") from error
    archive.unlink()
    return folder


def _unpack(packed: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write one file of an archive; one with a folder in its name could end up anywhere, one with holes could fill the disk."""
    source = packed.extractfile(member) if member.isfile() and not member.issparse() else None
    if source is None or member.name != os.path.basename(member.name) or "\\" in member.name:
        message = f"The archive holds {member.name!r}, expected files without folders."
        raise RequestError("upload.archive", message, "Send plain files.")
    with (folder / member.name).open("xb") as target:
        shutil.copyfileobj(source, target)


def entry(folder: Path, name: str) -> Path:
    """What a request means by an archive: the folder, or the header that names the other files.

    Raises
    ------
    RequestError : when there is not one header.
    """
    if name.endswith(FOLDER_ARCHIVE):
        return folder
    ending = Path(name.removesuffix(ARCHIVE)).suffix
    headers = [path for path in folder.iterdir() if path.name.lower().endswith(ending)]
    if len(headers) != 1:
        message = f"The archive holds {len(headers)} files that end in {ending}, expected one."
        raise RequestError("upload.archive", message, "Send one header with its data.")
    return headers[0]
