"""Public data sets in NIfTI: layouts are recognized, labels become tumor, core and rest, and patients stay together."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import public_data
import pytest

from TumorSynthLib.errors import DataError, ImageError
from TumorSynthLib.train.readers.find import READERS, find_reader, read_dataset
from TumorSynthLib.train.readers.parts import choose_part, patient_parts
from TumorSynthLib.train.readers.record import TEST, TRAIN, ReaderOptions, Record
from TumorSynthLib.train.readers.scan import read_channel, read_labels, read_scan

LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "kits23": public_data.write_kits,
    "brats": public_data.write_brats,
    "msd": public_data.write_msd,
    "autopet": public_data.write_autopet,
    "hecktor": public_data.write_hecktor,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: write(tmp_path_factory.mktemp(name)) for name, write in LAYOUTS.items()}


def read(folder: Path) -> dict[str, Record]:
    return {record.id: record for record in read_dataset(folder).records}


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_a_layout_is_recognized_and_by_no_other_reader(folders: dict[str, Path], name: str) -> None:
    assert find_reader(folders[name]).name == name
    special = [reader.name for reader in READERS if reader.name != "pairs" and reader.fits(folders[name])]
    assert special == [name]
    assert all(record.licence.endswith(".") and record.licence for record in read_dataset(folders[name]).records)


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_the_tumor_has_the_volume_of_the_ball_it_was_drawn_as(folders: dict[str, Path], name: str) -> None:
    radius = 18.0 if name in ("brats", "msd") else public_data.RADIUS
    for record in read(folders[name]).values():
        labels = read_labels(record)
        volume = labels.tumor.sum() * labels.geometry.voxel_volume_mm3
        if record.patient == "PETCT_1bb":
            assert volume == 0.0
        else:
            assert volume == pytest.approx(4.0 / 3.0 * np.pi * radius**3, rel=0.03)


def test_kits_labels_are_kidney_tumor_and_cyst(folders: dict[str, Path]) -> None:
    record = read(folders["kits23"])["case_00001"]
    labels, values = read_labels(record), public_data.ball(radius=22.0)
    assert np.array_equal(labels.tumor, public_data.ball())
    assert np.array_equal(labels.other, public_data.ball((8.0, 8.0, 8.0), 7.0) & ~public_data.ball())
    assert np.array_equal(labels.organ, values & ~labels.tumor & ~labels.other)
    assert (record.domain, record.modality, record.patient) == ("abdomen-ct", "CT", "case_00001")


@pytest.mark.parametrize("name", ["brats", "msd"])
def test_the_core_is_the_tumor_without_its_edema(folders: dict[str, Path], name: str) -> None:
    for record in read(folders[name]).values():
        labels = read_labels(record)
        assert labels.core is not None and np.array_equal(labels.core, public_data.ball())
        assert np.array_equal(labels.tumor, public_data.ball(radius=18.0))


def test_the_four_sequences_of_a_brain_are_records_of_one_patient(folders: dict[str, Path]) -> None:
    records = read_dataset(folders["brats"]).records
    assert [record.domain for record in records[:4]] == ["brain-flair", "brain-t1", "brain-t1c", "brain-t2"]
    assert {record.patient for record in records[:4]} == {"BraTS2021_00000"}


def test_a_later_scan_of_a_brats_patient_belongs_to_the_same_patient(tmp_path: Path) -> None:
    for time in ("000", "001"):
        for part in ("t1c", "t2f", "seg"):
            name = f"BraTS-GLI-00005-{time}"
            public_data.write(tmp_path / name / f"{name}-{part}.nii.gz", public_data.brats_labels())
    records = read_dataset(tmp_path).records
    assert [record.domain for record in records] == ["brain-t1c", "brain-flair"] * 2
    assert {record.patient for record in records} == {"BraTS-GLI-00005"}


def test_the_channels_of_a_4d_file_are_the_sequences_in_their_order(folders: dict[str, Path]) -> None:
    records = list(read(folders["msd"]).values())
    assert [record.domain for record in records] == ["brain-flair", "brain-t1", "brain-t1c", "brain-t2"]
    for number, record in enumerate(records):
        expected = 100.0 * (number + 1) + public_data.image("MR", number, public_data.ball())
        scan = read_scan(record)
        assert np.allclose(scan.array, expected) and np.allclose(scan.geometry.spacing, public_data.SPACING)
    with pytest.raises(ImageError, match="channel 4"):
        read_channel(records[0].image, 4)


def test_a_4d_file_that_ends_too_early_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    whole = (folders["msd"] / "imagesTr" / "BRATS_001.nii.gz").read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError) as caught:
        read_channel(tmp_path / "cut.nii.gz", 0)
    assert caught.value.code == "image.truncated"


@pytest.mark.parametrize(
    ("name", "labels", "domain", "tumor", "organ"),
    [
        ("Lung", {"0": "background", "1": "cancer"}, "lung-ct", (1,), ()),
        ("Liver", {"0": "background", "1": "liver", "2": "cancer"}, "abdomen-ct", (2,), (1,)),
        ("HepaticVessel", {"0": "background", "1": "Vessel", "2": "Tumour"}, "abdomen-ct", (2,), (1,)),
        ("Colon", {"0": "background", "1": "colon cancer primaries"}, "abdomen-ct", (1,), ()),
    ],
)
def test_a_ct_task_of_the_decathlon_tells_its_labels_by_name(
    tmp_path: Path, name: str, labels: dict[str, str], domain: str, tumor: tuple[int, ...], organ: tuple[int, ...]
) -> None:
    for part in ("imagesTr", "labelsTr"):
        public_data.write(tmp_path / part / "x_001.nii.gz", public_data.ball().astype(np.uint8))
    pair = {"image": "./imagesTr/x_001.nii.gz", "label": "./labelsTr/x_001.nii.gz"}
    content = {"name": name, "modality": {"0": "CT"}, "labels": labels, "training": [pair]}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    (record,) = read_dataset(tmp_path).records
    assert (record.domain, record.tumor, record.organ, record.core, record.channel) == (domain, tumor, organ, (), None)


def test_a_task_without_tumor_is_refused_with_its_labels(tmp_path: Path) -> None:
    content = {"name": "Spleen", "modality": {"0": "CT"}, "labels": {"0": "background", "1": "spleen"}, "training": []}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="1 spleen"):
        read_dataset(tmp_path)


def test_the_pet_of_hecktor_gets_its_mask_from_the_grid_of_the_ct(folders: dict[str, Path]) -> None:
    records = read(folders["hecktor"])
    assert sorted(records) == ["CHUM-001_CT", "CHUM-001_PT", "MDA-002_CT", "MDA-002_PT"]
    for part, domain in (("CT", "soft-tissue-ct"), ("PT", "head-neck-pet")):
        record = records[f"CHUM-001_{part}"]
        scan = read_scan(record)
        labels = read_labels(record).on(scan.geometry)
        volume = labels.tumor.sum() * scan.geometry.voxel_volume_mm3
        assert record.domain == domain and labels.tumor.shape == scan.array.shape
        assert volume == pytest.approx(public_data.BALL_MM3, rel=0.1)
        center = scan.geometry.to_ras(np.argwhere(labels.tumor).mean(axis=0))
        expected = np.array(public_data.CENTER) * public_data.SPACING * (-1.0, -1.0, 1.0)
        assert np.abs(center - expected).max() < 1.0
        assert labels.other.any() and not (labels.other & labels.tumor).any()


def test_masks_beside_the_images_are_found_too(folders: dict[str, Path], tmp_path: Path) -> None:
    for name in ("CHUM-001__CT", "CHUM-001__PT"):
        (tmp_path / "CHUM-001").mkdir(exist_ok=True)
        shutil.copy(folders["hecktor"] / "imagesTr" / f"{name}.nii.gz", tmp_path / "CHUM-001")
    shutil.copy(folders["hecktor"] / "labelsTr" / "CHUM-001.nii.gz", tmp_path / "CHUM-001")
    assert sorted(read(tmp_path)) == ["CHUM-001_CT", "CHUM-001_PT"]


def test_only_fdg_pet_is_taken_and_a_study_without_lesions_counts_as_healthy(folders: dict[str, Path]) -> None:
    records = read(folders["autopet"])
    assert len(records) == 3 and {record.domain for record in records.values()} == {"soft-tissue-pet"}
    assert {record.image.name for record in records.values()} == {"SUV.nii.gz"}
    healthy = [record for record in records.values() if record.patient == "PETCT_1bb"]
    assert not read_labels(healthy[0]).tumor.any()


def test_nnunet_names_tell_tracer_and_patient_and_the_official_split_is_kept_without_tearing_patients(tmp_path: Path) -> None:
    listing = read_dataset(public_data.write_autopet_nnunet(tmp_path))
    assert [record.patient for record in listing.records] == ["0aa", "0aa", "1bb"]
    assert all(record.image.name.endswith("_0001.nii.gz") for record in listing.records)
    assert [entry.reason for entry in listing.skipped] == ["Its tracer is PSMA, and no domain has that."]
    assert patient_parts(listing.records, 0, 0.2) == {("autopet", "0aa"): TEST, ("autopet", "1bb"): TRAIN}


def test_a_pet_in_activity_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    record = next(iter(read(folders["autopet"]).values()))
    path = public_data.write(tmp_path / "SUV.nii.gz", 5000.0 * public_data.image("PET", 0, public_data.ball()))
    with pytest.raises(ImageError, match="expected SUV") as caught:
        read_scan(replace(record, image=path))
    assert caught.value.code == "image.suv"


def test_cases_without_image_or_mask_are_named(folders: dict[str, Path], tmp_path: Path) -> None:
    kits = tmp_path / "kits"
    shutil.copytree(folders["kits23"], kits)
    (kits / "case_00002" / "imaging.nii.gz").unlink()
    (kits / "case_00003" / "segmentation.nii.gz").unlink()
    listing = read_dataset(kits)
    assert [record.id for record in listing.records] == ["case_00000", "case_00001"]
    assert [entry.id for entry in listing.skipped] == ["case_00002", "case_00003"]
    assert "kits23_download_data" in listing.skipped[0].reason
    assert [entry.id for entry in read_dataset(folders["msd"]).skipped] == ["BRATS_485"]
    assert [entry.id for entry in read_dataset(folders["hecktor"]).skipped] == ["USZ-001_CT"]


def test_an_unknown_layout_says_what_was_found_and_what_is_expected(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(DataError, match=r"readme\.txt.*case_00000/imaging") as caught:
        find_reader(tmp_path)
    assert caught.value.code == "data.layout"
    for folder, name, code in (
        (folders["kits23"], "brats", "data.layout"),
        (folders["kits23"], "kitz", "data.dataset"),
        (tmp_path / "none", "", "data.missing"),
    ):
        with pytest.raises(DataError) as caught:
            find_reader(folder, name)
        assert caught.value.code == code
    assert find_reader(folders["kits23"], "kits23").name == "kits23"


def pairs(layout: str, folder: Path) -> None:
    scan, mask = public_data.image("CT", 0, public_data.ball()), public_data.ball().astype(np.uint8)
    names = {
        "two folders": ("images/a.nii.gz", "labels/a.nii.gz", "images/b.nii.gz", "labels/b.nii.gz"),
        "nnU-Net": ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz", "imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz"),
        "masks of another name": ("images/a.nii.gz", "masks/a_mask.nii.gz", "images/b.nii.gz", "masks/b_mask.nii.gz"),
        "side by side": ("a.nii.gz", "a_seg.nii.gz", "b.nii.gz", "b-label.nii.gz"),
        "folder per patient": ("a/ct.nii.gz", "a/mask.nii.gz", "b/ct.nii.gz", "b/segmentation.nii.gz"),
    }[layout]
    for name, values in zip(names, (scan, mask, scan, mask), strict=True):
        public_data.write(folder / name, values)


@pytest.mark.parametrize("layout", ["two folders", "nnU-Net", "masks of another name", "side by side", "folder per patient"])
def test_pairs_are_found_by_several_habits(layout: str, tmp_path: Path) -> None:
    pairs(layout, tmp_path)
    listing = read_dataset(tmp_path, options=ReaderOptions(domain="soft-tissue-ct", licence="Mine."))
    assert [record.patient for record in listing.records] == ["a", "b"]
    for record in listing.records:
        assert read_labels(record).tumor.sum() == public_data.ball().sum() and record.licence == "Mine."
        assert read_scan(record).array.min() < -900.0
    with pytest.raises(DataError, match="--domain"):
        read_dataset(tmp_path)


def test_a_pattern_tells_the_patient_of_several_scans(tmp_path: Path) -> None:
    for name in ("p1_t0", "p1_t1", "p2_t0"):
        public_data.write(tmp_path / "images" / f"{name}.nii.gz", public_data.image("CT", 0, public_data.ball()))
        public_data.write(tmp_path / "labels" / f"{name}.nii.gz", public_data.ball().astype(np.uint8))
    options = ReaderOptions(domain="soft-tissue-ct", patient=r"(p\d+)_t")
    assert [record.patient for record in read_dataset(tmp_path, options=options).records] == ["p1", "p1", "p2"]
    with pytest.raises(DataError, match="finds no patient"):
        read_dataset(tmp_path, options=ReaderOptions(domain="soft-tissue-ct", patient=r"(q\d+)"))


def test_a_list_tells_masks_labels_patients_and_parts(tmp_path: Path) -> None:
    pairs("side by side", tmp_path)
    lines = [
        "image,mask,patient,split,domain,label,licence",
        "a.nii.gz,a_seg.nii.gz,anna,test,lung-ct,1 3,CC0.",
        "b.nii.gz,,bert,train,abdomen-ct,,",
        "c.nii.gz,,carl,,abdomen-ct,,",
    ]
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    for given in (tmp_path, tmp_path / "pairs.csv"):
        listing = read_dataset(given)
        first, second = listing.records
        assert (first.patient, first.split, first.domain, first.tumor) == ("anna", "test", "lung-ct", (1, 3))
        assert (first.licence, second.mask, second.domain) == ("CC0.", None, "abdomen-ct")
        assert [entry.reason for entry in listing.skipped] == ["c.nii.gz does not exist."]
    (tmp_path / "pairs.csv").write_text("scan,seg\na,b\n")
    with pytest.raises(DataError, match="scan, seg"):
        read_dataset(tmp_path)


def records(count: int, scans: int = 3, split: str = "") -> list[Record]:
    numbers = [(patient, scan) for patient in range(count) for scan in range(scans)]
    return [Record(f"{p}_{s}", f"p{p}", "d", "lung-ct", Path("x"), split=split) for p, s in numbers]


def test_patients_are_in_one_part_only_and_the_split_depends_on_the_seed_alone() -> None:
    found = records(400)
    parts = {part: choose_part(found, part, seed=3) for part in (TRAIN, TEST)}
    patients = {part: {record.patient for record in chosen} for part, chosen in parts.items()}
    assert patients[TRAIN].isdisjoint(patients[TEST]) and len(patients[TRAIN] | patients[TEST]) == 400
    assert len(parts[TRAIN]) + len(parts[TEST]) == len(found)
    assert 0.14 < len(patients[TEST]) / 400 < 0.26, "about the share asked for"
    assert choose_part(list(reversed(found)), TEST, seed=3) == list(reversed(parts[TEST]))
    assert {record.patient for record in choose_part(found, TEST, seed=4)} != patients[TEST]
    more = {record.patient for record in choose_part(records(800), TEST, seed=3)}
    assert patients[TEST] <= more, "further patients move nobody"
    assert choose_part(found, "all") == found


def test_an_official_split_is_kept_and_an_empty_part_is_refused() -> None:
    found = [*records(3, split=TRAIN), *records(6, split=TEST)[9:]]
    assert {record.patient for record in choose_part(found, TEST)} == {"p3", "p4", "p5"}
    with pytest.raises(DataError) as caught:
        choose_part(records(3, split=TRAIN), TEST)
    assert caught.value.code == "data.split"
    with pytest.raises(DataError, match="no split 'dev'"):
        choose_part(found, "dev")
