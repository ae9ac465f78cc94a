"""Which scans a plan is made for: files, folders, patterns, lists, and a name for each that no other has."""

from pathlib import Path

import pytest

from TumorSynthLib.errors import RequestError
from TumorSynthLib.scan_list import ScanEntry, fill_in, list_scans, stem_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


def images(*scans: str, region: str | None = None, avoid: tuple[str, ...] = ()) -> list[str]:
    return [entry.image for entry in list_scans(scans, region, avoid)]


@pytest.mark.parametrize(
    ("image", "stem"),
    [("a/b.c.nii.gz", "b.c"), ("b.NRRD", "b"), ("series.1", "series.1"), (".nii.gz", ".nii.gz"), ("x.seg.nrrd", "x.seg")],
)
def test_a_stem_is_the_name_without_folder_and_ending(image: str, stem: str) -> None:
    assert stem_of(image) == stem


def test_a_pattern_is_filled_with_the_name_and_the_folder_of_a_scan() -> None:
    assert fill_in("{parent}/../masks/{stem}_{stem}.nrrd", "d/e/a.nii.gz") == "d/e/../masks/a_a.nrrd"
    assert fill_in("m/{stem}.nrrd", "{parent}.nii") == "m/{parent}.nrrd"
    with pytest.raises(RequestError, match="which is unknown"):
        fill_in("{name}.nrrd", "a.nii")


def test_a_folder_gives_its_images_in_order_without_masks_and_other_files() -> None:
    touch(
        "d/b.nrrd",
        "d/b_mask.nrrd",
        "d/b.seg.nrrd",
        "d/a/z.nii.gz",
        "d/a/z_organ.nii.gz",
        "d/a/only_organ.nii.gz",
        "d/notes.txt",
    )
    touch("d/c/1.dcm", "d/c/2.DCM", "d/c/x.nrrd")
    found = images("d", region="{parent}/{stem}_organ.nii.gz")
    assert found == [str(Path(name)) for name in ("d/b.nrrd", "d/a/z.nii.gz", "d/c")]
    assert "d/a/z_organ.nii.gz" in images("d/a")


def test_masks_in_a_folder_of_their_own_are_no_scans_though_they_have_the_names_of_scans() -> None:
    touch("d/scans/a.nii.gz", "d/masks/a.nii.gz", "d/other/a.nii.gz")
    assert images("d", region="{parent}/../masks/{stem}.nii.gz") == ["d/other/a.nii.gz", "d/scans/a.nii.gz"]


def test_a_folder_whose_files_have_no_ending_is_one_series() -> None:
    touch("d/IM0001", "d/IM0002")
    assert images("d") == ["d"]
    Path("empty").mkdir()
    with pytest.raises(RequestError, match="empty"):
        images("empty")


def test_a_pattern_with_stars_gives_what_fits_it() -> None:
    touch("d/a.nii.gz", "d/a_mask.nii.gz", "d/e/b.nii.gz", "d/c.txt")
    assert images("d/*.nii.gz") == ["d/a.nii.gz"]
    assert images("d/**/*.nii.gz") == ["d/a.nii.gz", "d/e/b.nii.gz"]


def test_a_file_that_is_named_is_a_scan_whatever_its_name() -> None:
    touch("a_mask.nrrd")
    assert images("a_mask.nrrd") == ["a_mask.nrrd"]


def test_a_table_names_scans_with_their_own_masks_and_the_pattern_stands_in() -> None:
    Path("list.csv").write_text(
        "image, avoid ,region,note\nx/a.nrrd,t.nrrd,left.nrrd,1\n# no\n\nx/a.nrrd,,right.nrrd\nb.nrrd,,\n"
    )
    touch("b_organ.nrrd")
    found = list_scans(["list.csv"], "{stem}_organ.nrrd", ["{stem}_organ.nrrd"])
    assert found == [
        ScanEntry("x/a.nrrd", "left.nrrd", ("t.nrrd",), "a"),
        ScanEntry("x/a.nrrd", "right.nrrd", ("a_organ.nrrd",), "a-2"),
        ScanEntry("b.nrrd", "b_organ.nrrd", ("b_organ.nrrd",), "b"),
    ]


def test_a_text_names_a_scan_per_line_or_has_columns() -> None:
    Path("list.txt").write_text("\ufeff# scans\n a, b.nrrd \nc.nrrd\na, b.nrrd\n", encoding="utf-8")
    assert images("list.txt") == ["a, b.nrrd", "c.nrrd"]
    Path("tabs.tsv").write_text("region\timage\nr.nrrd\tc.nrrd\n")
    assert list_scans(["tabs.tsv"])[0].region == "r.nrrd"


@pytest.mark.parametrize(
    ("text", "code"),
    [("scan,region\na,b\n", "plan.list"), ("image,region\n,b\n", "plan.list"), ("", "plan.list"), ("image\n", "plan.scans")],
)
def test_a_table_that_cannot_be_used_is_refused(text: str, code: str) -> None:
    Path("list.csv").write_text(text)
    with pytest.raises(RequestError) as caught:
        list_scans(["list.csv"])
    assert caught.value.code == code and caught.value.hint


def test_one_mask_for_several_scans_and_masks_that_no_scan_has_are_refused() -> None:
    touch("a.nrrd", "b.nrrd", "a_mask.nrrd", "organ.nrrd")
    for values in ((["a.nrrd", "b.nrrd"], "organ.nrrd", []), (["a.nrrd", "b.nrrd"], None, ["{stem}_msk.nrrd"])):
        with pytest.raises(RequestError) as caught:
            list_scans(*values)
        assert caught.value.code == "plan.pattern"
    assert len(list_scans(["a.nrrd", "a.nrrd"], "organ.nrrd")) == 1
    assert [entry.avoid for entry in list_scans(["a.nrrd", "b.nrrd"], None, ["{stem}_mask.nrrd"])][1] == ("b_mask.nrrd",)
    with pytest.raises(RequestError, match="does not exist"):
        list_scans(["c.nrrd"])


def test_scans_with_one_stem_are_told_apart_by_their_folders() -> None:
    files = [
        "d/p1/ct.nrrd",
        "d/p2/ct.nrrd",
        "d/p2/mr.nrrd",
        "d/p1/ct.nii.gz",
        "e/p1/ct.nrrd",
        "./d/P1/CT.nrrd",
        "d/a b/ä:x.nrrd",
    ]
    touch(*files)
    entries = list_scans(files)
    names = [entry.name for entry in entries]
    assert names == ["d_p1_ct", "p2_ct", "mr", "d_p1_ct-2", "e_p1_ct", "d_P1_CT-3", "ä-x"]
    assert len({name.lower() for name in names}) == len(names)
    assert list_scans(files[:2])[1].name == "p2_ct" and list_scans(files[1:3])[0].name == "ct"
