"""Scans to try the extension on, in 3D Slicer's Sample Data module."""

from dataclasses import dataclass

CATEGORY = "TumorSynth"
_STORE = "https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/"


@dataclass(frozen=True)
class Sample:
    """A public scan of 3D Slicer's own collection."""

    name: str
    """As the Sample Data module shows it."""
    nodeName: str
    """Of the volume when it is loaded."""
    sha256: str
    """Of the file; also its address."""

    @property
    def uri(self) -> str:
        """Where it is downloaded from."""
        return _STORE + self.sha256


SAMPLES = (
    Sample("CT chest", "CTChest", "4507b664690840abb6cb9af2d919377ffc4ef75b167cb6fd0f747befdb12e38e"),
    Sample("MR T1 head", "MRHead", "cc211f0dfd9a05ca3841ce1141b292898b2dd2d3f08286affadf823a7e58df93"),
    Sample("MR brain with a tumor", "MRBrainTumor1", "998cb522173839c78657f4bc0ea907cea09fd04e44601f17c82ea27927937b95"),
)


def registerSampleData() -> None:
    """Offer the samples; nothing is downloaded before the user asks for one. Call it when the application has started."""
    import SampleData

    for sample in SAMPLES:
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=sample.name,
            uris=sample.uri,
            fileNames=f"{sample.nodeName}.nrrd",
            nodeNames=sample.nodeName,
            checksums=f"SHA256:{sample.sha256}",
            loadFileTypes="VolumeFile",
        )
