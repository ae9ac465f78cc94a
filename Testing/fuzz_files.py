"""Broken image files made from small good ones: what bad copies, bad exporters and unfriendly users hand over, for tests.

Every generator yields what was done, for the message of a failing test, and the bytes of the broken file. A header is broken
in the open, also that of a .nii.gz: its bytes are packed again, so that the damage reaches the reader of the header.
"""

import gzip
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

SIZE, SPACING, ORIGIN = (7, 6, 5), (1.0, 2.0, 3.0), (10.0, -20.0, 30.0)
KINDS = ("raw.nrrd", "gzip.nrrd", "detached.nrrd", "layers.seg.nrrd", "a.nii", "a.nii.gz", "raw.mha", "zlib.mha", "a.mhd")
"""Names of the good files: every format, plain and compressed."""
DETACHED = {"detached.nrrd": "detached.raw", "a.mhd": "a.raw"}
"""Files whose voxels lie in another file."""
Case = tuple[str, bytes]


def voxels() -> np.ndarray:
    """The values of every good file, int16 (i, j, k): noise, with 1 somewhere, so that each file is a mask too."""
    values = np.random.default_rng(5).integers(-1000, 1000, SIZE).astype(np.int16)
    values[2:4, 2:4, 1:3] = 1
    return values


def good_file(folder: Path, kind: str) -> Path:
    """A good file, one of ``KINDS``, and what belongs to it, in a folder."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels().transpose(2, 1, 0)))
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    path = folder / kind
    if kind == "layers.seg.nrrd":
        image = sitk.Compose(image, image)
        for key, value in {"Name": "Lesion", "LabelValue": "1", "Layer": "1"}.items():
            image.SetMetaData(f"Segment0_{key}", value)
    sitk.WriteImage(image, str(path), kind.startswith(("gzip", "zlib", "layers")))
    if kind == "detached.nrrd":
        header, data = split(kind, path.read_bytes())
        path.write_bytes(header.removesuffix(b"\n") + b"data file: detached.raw\n\n")
        (folder / "detached.raw").write_bytes(data)
    return path


def split(kind: str, data: bytes) -> tuple[bytes, bytes]:
    """Header and voxels of a file as they are stored; of a .nii.gz, both unpacked."""
    if ".nii" in kind:
        data = gzip.decompress(data) if kind.endswith(".gz") else data
        return data[:352], data[352:]
    if kind.endswith(".nrrd"):
        end = data.index(b"\n\n") + 2
    else:
        end = data.index(b"\n", data.index(b"ElementDataFile")) + 1
    return data[:end], data[end:]


def join(kind: str, header: bytes, data: bytes) -> bytes:
    """The inverse of ``split``."""
    return gzip.compress(header + data, mtime=0) if kind.endswith(".gz") else header + data


def cuts(data: bytes, count: int) -> Iterator[Case]:
    """The file cut at its ends, after and around every line of its first kilobyte, and at evenly spread places."""
    lines = [at + step for at in range(min(len(data), 1024)) if data[at] == 10 for step in (0, 1, 2)]
    spread = np.linspace(0, len(data) - 1, count).astype(int).tolist()
    for at in sorted({*lines, *spread, 0, 1, 2, len(data) - 1, len(data) - 8} & set(range(len(data)))):
        yield f"cut after {at} of {len(data)} bytes", data[:at]


def flips(data: bytes, rng: np.random.Generator, count: int, bits: int = 1) -> Iterator[Case]:
    """The file with bits turned over at random places."""
    for _ in range(count):
        changed = bytearray(data)
        places = rng.integers(0, 8 * len(data), bits).tolist()
        for place in places:
            changed[place // 8] ^= 1 << place % 8
        yield f"bits {places} turned", bytes(changed)


# Headers of text: NRRD and MetaImage

NONSENSE = (
    b"", b"0", b"-1", b"1", b"2", b"3", b"4", b"5", b"17", b"x", b"0.5", b"nan", b"inf", b"-inf", b"1e400", b"1e-300", b"1e30",
    b"0x10", b"1_0", b"\xd9\xa3", b"0 0 0", b"1 1 1", b"2 3", b"-7 6 5", b"7 6 -5", b"7 6 5 1", b"7 6 5 1 1", b"7 6 5 2",
    b"7 6 5 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", b"nan nan nan", b"1 nan 1", b"1e30 1e30 1e30", b"1e-30 1e-30 1e-30",
    b"100000 100000 100000", b"99999999999999999999 2 2", b"4294967296 4294967296 2", b"1 0 0 0 1 0 0 0 1",
    b"0 0 0 0 0 0 0 0 0", b"1 0 0 1 0 0 0 0 1", b"1 0.5 0 0 1 0 0 0 1", b"nan 0 0 0 1 0 0 0 1", b"none", b"???",
    b"none none none", b"(0,0,0)", b"(1,0,0) (0,2,0)", b"(1,0) (0,2)", b"(0,0,0) (0,0,0) (0,0,0)", b"(1,0,0) (1,0,0) (0,0,3)",
    b"(1,0.5,0) (0,1,0) (0,0,1)", b"(nan,0,0) (0,2,0) (0,0,3)", b"(1,0,0) (0,inf,0) (0,0,3)", b"(1,0,0) (0,2,0) none",
    b"(1,0,0) (0,2,0) (0,0,3) (1,1,1)", b"(1,0,0) (0,2,0) (0,0,3", b"1,0,0 0,2,0 0,0,3", b"(1e30,0,0) (0,1e30,0) (0,0,1e30)",
    b"(nan,nan,nan)", b"(1,2)", b"float", b"double", b"uchar", b"block", b"MET_FLOAT", b"MET_UCHAR", b"MET_SHORT_ARRAY",
    b"MET_STRING", b"raw", b"gzip", b"ascii", b"hex", b"bzip2", b"True", b"False", b"little", b"big", b"middle",
    b"domain domain domain", b"vector domain domain", b"domain domain", b"3-color domain domain", b"right-anterior-superior",
    b"left-posterior-superior-time", b"scanner-xyz", b"LOCAL", b"LIST", b"x%d.raw 1 3 1", b"missing.raw", b".", b"..",
    b"/dev/null", b"/dev/zero", b"%s%s%s%n", b"Tube", b"RAI", b"XYZ", b"mm", b"m", b"\0", b"a\0b", b"\xff\xfe", b"\xc3\xa9",
    b"9" * 400, b"7 " * 3000, b"y" * 70000,
)  # fmt: skip
"""What may stand in the place of any field's value."""
NRRD_MORE = (
    b"spacings", b"spacing", b"thicknesses", b"axis mins", b"axis maxs", b"byte skip", b"line skip", b"data file", b"datafile",
    b"space dimension", b"space units", b"measurement frame", b"centers", b"labels", b"units", b"block size", b"content",
    b"min", b"max", b"old min", b"number", b"sample units", b"k" * 1500,
)  # fmt: skip
META_MORE = (
    b"HeaderSize", b"ElementNumberOfChannels", b"ElementByteOrderMSB", b"ElementSize", b"Position", b"Origin", b"Rotation",
    b"Orientation", b"CompressedDataSize", b"CompressionLevel", b"Comment", b"Name", b"ID", b"ParentID", b"Color",
    b"ObjectSubType", b"TransformType", b"DistanceUnits", b"SequenceID", b"ElementMin", b"ElementMax", b"Modality",
    b"ElementToIntensityFunctionSlope", b"AcquisitionDate", b"TransformMatrix1", b"n" * 300, b"n" * 5000,
)  # fmt: skip
"""Fields that the good files lack."""


def text_headers(kind: str, header: bytes) -> Iterator[tuple[str, bytes]]:
    """Every field of a text header in turn removed, repeated and replaced by every nonsense, and further fields added."""
    colon, more, end = (b": ", NRRD_MORE, b"\n") if kind.endswith(".nrrd") else (b" = ", META_MORE, b"")
    lines = header.removesuffix(end).split(b"\n")[:-1]
    for number, line in enumerate(lines):
        between = b":=" if b":=" in line else colon
        name, found, _ = line.partition(between)
        before, after = lines[:number], lines[number + 1 :]
        texts = [(b"removed", []), (b"repeated", [line, line])]
        if found:
            texts += [(value, [name + between + value]) for value in NONSENSE]
            texts += [(b"first " + value, [name + between + value, line]) for value in NONSENSE[::7]]
            texts += [(b"then " + value, [line, name + between + value]) for value in NONSENSE[::7]]
        for what, instead in texts:
            yield f"{name[:40]!r}: {what[:40]!r}", b"\n".join([*before, *instead, *after, b""]) + end
    for name in more:
        for value in NONSENSE:
            added = [*lines[:-1], name + colon + value, lines[-1], b""]
            yield f"added {name[:40]!r}: {value[:40]!r}", b"\n".join(added) + end


# The binary header of NIfTI


@dataclass(frozen=True)
class Field:
    """Numbers at a place of a NIfTI-1 header."""

    name: str
    offset: int
    code: str
    count: int = 1


NIFTI = (
    Field("sizeof_hdr", 0, "i"), Field("extents", 32, "i"), Field("session_error", 36, "h"), Field("dim_info", 39, "B"),
    Field("dim", 40, "h", 8), Field("intent_p", 56, "f", 3), Field("intent_code", 68, "h"), Field("datatype", 70, "h"),
    Field("bitpix", 72, "h"), Field("slice_start", 74, "h"), Field("pixdim", 76, "f", 8), Field("vox_offset", 108, "f"),
    Field("scl_slope", 112, "f"), Field("scl_inter", 116, "f"), Field("slice_end", 120, "h"), Field("slice_code", 122, "B"),
    Field("xyzt_units", 123, "B"), Field("cal_max", 124, "f"), Field("slice_duration", 132, "f"), Field("toffset", 136, "f"),
    Field("glmax", 140, "i"), Field("qform_code", 252, "h"), Field("sform_code", 254, "h"), Field("quatern", 256, "f", 3),
    Field("qoffset", 268, "f", 3), Field("srow", 280, "f", 12), Field("magic", 344, "B", 4), Field("extension", 348, "B", 4),
)  # fmt: skip
WHOLE = (0, 1, 2, 3, 4, 5, 7, 8, 10, 16, 32, 64, 128, 255, 256, 512, 1024, 1280, 1536, 1792, 2048, 2304, 32767, -1, -7, -32768)
REAL = (0.0, 1.0, 0.5, -1.0, 3.0, 348.0, 352.0, 353.0, 1000.0, 1e6, 1e-6, 1e30, 1e-30, 3e38, 1e-45)
NOT_FINITE = (float("nan"), float("inf"), float("-inf"))


def nifti_headers(header: bytes) -> Iterator[tuple[str, bytes]]:
    """Every number of a NIfTI header in turn, and all of a field at once, replaced by every nonsense that fits."""
    for field in NIFTI:
        width = struct.calcsize(field.code)
        values = (*REAL, *NOT_FINITE) if field.code == "f" else [v for v in WHOLE if field.code != "B" or 0 <= v < 256]
        for value in values:
            one, all_ = struct.pack(f"<{field.code}", value), struct.pack(f"<{field.count}{field.code}", *[value] * field.count)
            for index in range(field.count):
                at = field.offset + index * width
                yield f"{field.name}[{index}] is {value}", header[:at] + one + header[at + width :]
            if field.count > 1:
                yield f"{field.name} is all {value}", header[: field.offset] + all_ + header[field.offset + len(all_) :]
    yield "byte order turned", b"".join(bytes(reversed(header[at : at + width])) for at, width in _nifti_words(len(header)))


def _nifti_words(length: int) -> Iterator[tuple[int, int]]:
    """Place and width of every number of a NIfTI header, single bytes between them."""
    starts = {f.offset + n * struct.calcsize(f.code): struct.calcsize(f.code) for f in NIFTI for n in range(f.count)}
    at = 0
    while at < length:
        yield at, starts.get(at, 1)
        at += starts.get(at, 1)


def headers(kind: str, data: bytes) -> Iterator[Case]:
    """The file with every nonsense in every field of its header."""
    header, rest = split(kind, data)
    for what, changed in nifti_headers(header) if ".nii" in kind else text_headers(kind, header):
        yield what, join(kind, changed, rest)


# Files that are more than they seem


def bombs(folder: Path, megabytes: int) -> list[Path]:
    """Small compressed files with good small headers, whose data goes on for megabytes of zeros."""
    paths = []
    for kind in ("gzip.nrrd", "a.nii.gz", "zlib.mha"):
        path = good_file(folder, kind)
        header, rest = split(kind, path.read_bytes())
        data = voxels().tobytes("F")
        stream = zlib.compressobj(1, zlib.DEFLATED, 15 if kind.endswith(".mha") else 31)
        packed = stream.compress((header if ".nii" in kind else b"") + data)
        packed += b"".join(stream.compress(bytes(1 << 20)) for _ in range(megabytes)) + stream.flush()
        if kind.endswith(".mha"):
            header = header.replace(b"CompressedDataSize = %d" % len(rest), b"CompressedDataSize = %d" % len(packed))
        path.write_bytes(packed if ".nii" in kind else header + packed)
        paths.append(path)
    return paths


def in_members(data: bytes, length: int) -> bytes:
    """Bytes as gzip of two members, the first of which has the given length."""
    for count in range(length - 40, length):
        first = gzip.compress(data[:count], 0, mtime=0)
        if len(first) == length:
            return first + gzip.compress(data[count:], mtime=0)
    raise ValueError(f"no member of {length} bytes")


# DICOM


def dicom_folder(folder: Path, change: Callable[[int, Any], None] = lambda index, slice_: None, count: int = 4) -> Path:
    """A small axial CT as single slices, each of which ``change`` may change before it is written.

    Parameters
    ----------
    folder : to make.
    change : called with the number of a slice and its ``pydicom`` data set.
    count : slices.
    """
    pydicom = pytest.importorskip("pydicom")
    folder.mkdir()
    for index in range(count):
        data = pydicom.dataset.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = f"1.2.3.4.{index + 1}"
        data.SeriesInstanceUID, data.StudyInstanceUID, data.FrameOfReferenceUID = "1.2.3.4", "1.2.3", "1.2.5"
        data.Modality, data.SeriesDescription, data.PatientID = "CT", "Abdomen venous", "x"
        data.InstanceNumber, data.SeriesNumber, data.SliceThickness = index + 1, 1, 2.5
        data.ImageOrientationPatient, data.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.8, 0.7]
        data.ImagePositionPatient = [-10, 20, 30 + 2.5 * index]
        data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = 5, 6, 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.RescaleSlope, data.RescaleIntercept = 1, -1000
        data.PixelData = (np.arange(30, dtype=np.int16) + 100 * index).tobytes()
        change(index, data)
        data.save_as(folder / f"{index:02d}.dcm", enforce_file_format=True)
    return folder
