"""The temporary folder: one for each Slicer, gone with it, or with the next."""

import errno
import os
import subprocess
import sys
import unittest
from pathlib import Path

import slicer
from slicer_case import SlicerCase, needsHarness

from TumorSynthLib.errors import OutputError
from TumorSynthSlicer import paths
from TumorSynthSlicer.temporary_files import TemporaryFiles

HOLDER = """
import sys, time
from pathlib import Path
from TumorSynthLib.file_lock import FileLock
folder = Path(sys.argv[1]); folder.mkdir()
lock = FileLock(folder / "lock"); lock.take(); (folder / "scan.nrrd").write_bytes(b"x")
print("held", flush=True); time.sleep(600)
"""


class TemporaryFilesTest(SlicerCase):
    def files(self, parent: Path) -> TemporaryFiles:
        """Files that are closed after the test."""
        made = TemporaryFiles(parent)
        self.addCleanup(made.close)
        return made

    def test_the_folder_lies_where_the_application_says_and_its_user_alone_reads_it(self) -> None:
        made = TemporaryFiles()
        self.addCleanup(made.close)
        self.assertEqual(made.folder.parent, Path(slicer.app.temporaryPath))
        self.assertTrue(made.folder.name.startswith(f"TumorSynth-{os.getpid()}-"))
        if sys.platform != "win32":
            self.assertEqual(made.folder.stat().st_mode & 0o777, 0o700)

    def test_closing_removes_all_of_it_and_may_be_repeated(self) -> None:
        made = TemporaryFiles(self.temporaryFolder())
        made.path("scan.nrrd").write_bytes(b"x")
        made.newPath("result").mkdir()
        made.close()
        made.close()
        self.assertFalse(made.folder.exists())

    def test_new_paths_are_never_given_twice_and_keep_their_ending(self) -> None:
        made = self.files(self.temporaryFolder())
        given = {made.newPath("mask.seg.nrrd") for _ in range(100)}
        self.assertEqual(len(given), 100)
        self.assertTrue(all(path.name.startswith("mask-") and path.name.endswith(".seg.nrrd") for path in given))

    def test_only_what_lies_inside_is_discarded(self) -> None:
        place = self.temporaryFolder()
        outside = place / "scan.nrrd"
        outside.write_bytes(b"x")
        made = self.files(place)
        inside, folder = made.path("a.nrrd"), made.path("result")
        inside.write_bytes(b"x")
        (folder / "deep").mkdir(parents=True)
        for path in (inside, folder, outside, made.folder, made.path("missing")):
            made.discard(path)
        self.assertEqual((inside.exists(), folder.exists(), outside.exists(), made.folder.exists()), (False, False, True, True))

    def test_the_folder_of_a_slicer_that_lives_stays_and_that_of_a_killed_one_goes(self) -> None:
        place = self.temporaryFolder()
        other = place / "TumorSynth-1-abcd"
        library = str(paths.part("TumorSynthLib").parent)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([library, os.environ.get("PYTHONPATH", "")])}
        command = [sys.executable, "-c", HOLDER, str(other)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as holder:
            assert holder.stdout is not None
            self.assertEqual(holder.stdout.readline().strip(), b"held")
            first = self.files(place)
            self.assertTrue((other / "scan.nrrd").exists())
            holder.kill()
        second = self.files(place)
        self.assertFalse(other.exists())
        self.assertTrue(first.folder.exists() and second.folder.exists(), "both belong to this process, which lives")

    @unittest.skipIf(sys.platform == "win32", "links")
    def test_a_link_that_looks_like_a_leftover_is_not_followed(self) -> None:
        place, precious = self.temporaryFolder(), self.temporaryFolder()
        (precious / "lock").write_bytes(b"")
        (place / "TumorSynth-1-link").symlink_to(precious, target_is_directory=True)
        self.files(place)
        self.assertTrue((precious / "lock").exists())

    def test_a_full_disk_is_told_with_path_and_size_and_the_half_written_file_goes(self) -> None:
        made = self.files(self.temporaryFolder())
        path = made.path("scan.nrrd")
        with self.assertRaises(OutputError) as caught, made.writing(path, 131 << 20):
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        self.assertEqual(caught.exception.code, "output.disk_full")
        self.assertIn(f"{path} needs 131.0 MB", caught.exception.message)
        self.assertFalse(path.exists())

    def test_space_is_asked_for_before_anything_is_written(self) -> None:
        made = self.files(self.temporaryFolder())
        made.checkSpace(1)
        with self.assertRaises(OutputError) as caught:
            made.checkSpace(1 << 60)
        self.assertIn(str(made.folder), caught.exception.message)

    def test_a_place_that_cannot_be_written_is_told(self) -> None:
        blocked = self.temporaryFolder() / "file"
        blocked.write_bytes(b"x")
        with self.assertRaises(OutputError) as caught:
            TemporaryFiles(blocked / "below")
        self.assertIn(str(blocked), caught.exception.message)
        self.assertTrue(blocked.exists())

    @needsHarness
    def test_the_end_of_the_application_removes_it(self) -> None:
        made = TemporaryFiles(self.temporaryFolder())
        slicer.app.aboutToQuit.emit()
        self.assertFalse(made.folder.exists())
