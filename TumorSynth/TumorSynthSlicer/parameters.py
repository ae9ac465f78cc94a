"""What of the panel belongs to the scene, and is saved and restored with it.

Which Python, device and bundle do the work belongs to the computer, see ``commands``.
"""

from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import Default, WithinRange, parameterNodeWrapper


@parameterNodeWrapper
class TumorSynthParameterNode:
    """The panel's state."""

    source: vtkMRMLScalarVolumeNode
    """The scan; it is never changed."""
    region: vtkMRMLSegmentationNode
    """Segmentation with the region that new tumors stay inside of."""
    regionSegmentId: str
    """Its segment; empty for no region."""
    outputVolume: vtkMRMLScalarVolumeNode
    """Where results are shown; made when there is none."""
    outputSegmentation: vtkMRMLSegmentationNode
    """Where the tumors of the results are shown."""
    domain: Annotated[str, Default("auto")]
    """Organ and modality by the bundle's id."""
    lesions: Annotated[str, Default("[]")]
    """The table of lesions as JSON. Their places are node references of the parameter node."""
    selected: str
    """Key of the lesion that is edited."""
    manifest: Annotated[str, Default("[]")]
    """What was done to the output volume, as JSON."""
    variants: Annotated[int, WithinRange(1, 8), Default(1)]
    """How many results are made to choose from."""
    method: Annotated[str, Default("bridge")]
    """Synthesis method."""
    steps: Annotated[int, WithinRange(1, 1000), Default(10)]
    """Sampling steps."""
    guidance: Annotated[float, WithinRange(0.0, 10.0), Default(1.5)]
    """Weight of the asked texture; 1 is none beyond the condition."""
    candidates: Annotated[int, WithinRange(1, 64), Default(1)]
    """Samples of which the one with the best features is kept."""
    noise: Annotated[bool, Default(True)]
    """Whether the scan's noise is restored."""
