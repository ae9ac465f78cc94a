"""Which Python works: what the user typed, and where it is kept."""

import os
import sys
import unittest
from dataclasses import asdict

import slicer.util
from slicer_case import SlicerCase, needsHarness

from TumorSynthLib.errors import TumorSynthError
from TumorSynthSlicer import commands
from TumorSynthSlicer.commands import WorkerChoice


class Store(dict):
    """Settings as an ini file gives them back: texts, or nothing."""

    def value(self, key: str, default: object = None) -> object:
        return self.get(key, default)

    def setValue(self, key: str, value: object) -> None:
        self[key] = str(value)


class CommandsTest(SlicerCase):
    def test_without_a_command_it_is_the_python_of_this_slicer_with_its_environment(self) -> None:
        choice = WorkerChoice()
        self.assertEqual((choice.words(), choice.own), ([sys.executable], True))
        self.assertEqual(choice.environment(), dict(os.environ))
        self.assertTrue(WorkerChoice(command=sys.executable).own)

    def test_another_program_gets_the_environment_that_slicer_was_started_in(self) -> None:
        choice = WorkerChoice(command="ssh gpu-host python")
        self.assertFalse(choice.own)
        self.assertEqual(choice.environment(), {str(k): str(v) for k, v in slicer.util.startupEnvironment().items()})

    def test_a_path_with_spaces_needs_no_quotes_and_may_have_some(self) -> None:
        path = self.temporaryFolder() / "my python"
        path.write_text("")
        for text in (str(path), f'"{path}"', f"  '{path}' "):
            self.assertEqual(WorkerChoice(command=text).words(), [str(path)])

    def test_the_folder_of_a_python_will_do(self) -> None:
        folder = self.temporaryFolder()
        (folder / "bin").mkdir()
        with self.assertRaises(TumorSynthError) as caught:
            WorkerChoice(command=str(folder)).words()
        self.assertIn(str(folder), caught.exception.message)
        (folder / "bin" / "python").write_text("")
        self.assertEqual(WorkerChoice(command=str(folder)).words(), [str(folder / "bin" / "python")])

    @unittest.skipIf(sys.platform == "win32", "quotes of another shell")
    def test_a_command_line_is_read_as_a_shell_would(self) -> None:
        words = WorkerChoice(command="ssh -p 22 'gpu host' \"/usr/my env/bin/python\"").words()
        self.assertEqual(words, ["ssh", "-p", "22", "gpu host", "/usr/my env/bin/python"])

    def test_what_was_kept_comes_back_whatever_it_is(self) -> None:
        store = Store()
        self.assertEqual(commands.load(store), WorkerChoice())
        for choice in (WorkerChoice("ssh gpu python", "cuda:1", "lung", True), WorkerChoice(device="cpu")):
            commands.save(choice, store)
            self.assertEqual(commands.load(store), choice)
        self.assertEqual(set(store), {f"TumorSynth/{name}" for name in asdict(WorkerChoice())})

    def test_a_flag_may_be_a_text_or_a_truth(self) -> None:
        for value, flag in (("true", True), (True, True), ("1", True), ("false", False), (False, False), (None, False)):
            self.assertEqual(commands.load(Store({"TumorSynth/inline": value})).inline, flag)

    def test_a_command_that_cannot_be_read_is_not_kept(self) -> None:
        store = Store()
        with self.assertRaises(TumorSynthError) as caught:
            commands.save(WorkerChoice(command="ssh 'gpu"), store)
        self.assertIn("ssh 'gpu", caught.exception.message)
        self.assertFalse(store)

    @needsHarness  # elsewhere these are somebody's own
    def test_the_application_keeps_it(self) -> None:
        commands.save(WorkerChoice("ssh gpu python", "mps", "base", True))
        self.assertEqual(commands.load(), WorkerChoice("ssh gpu python", "mps", "base", True))
