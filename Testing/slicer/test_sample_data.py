"""The samples that the extension offers."""

import sys
import types
import unittest
from unittest import mock

from TumorSynthSlicer.sample_data import CATEGORY, SAMPLES, registerSampleData


class SampleDataTest(unittest.TestCase):
    def test_each_sample_is_registered_once_with_a_checksum_and_nothing_is_loaded(self) -> None:
        logic = mock.Mock(spec=["registerCustomSampleDataSource"])
        with mock.patch.dict(sys.modules, SampleData=types.SimpleNamespace(SampleDataLogic=logic)):
            registerSampleData()
        calls = [call.kwargs for call in logic.registerCustomSampleDataSource.call_args_list]
        self.assertEqual(len({call["sampleName"] for call in calls}), len(SAMPLES))
        for call in calls:
            self.assertEqual(call["category"], CATEGORY)
            algorithm, digest = call["checksums"].split(":")
            self.assertEqual((algorithm, len(bytes.fromhex(digest))), ("SHA256", 32))
            self.assertTrue(call["uris"].endswith(digest), "the store names files by their checksum")
