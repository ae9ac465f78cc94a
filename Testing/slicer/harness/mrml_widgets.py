"""Stand-ins for Slicer's widgets that the module uses, over the real scene."""

import slicer

from .node_box import qMRMLNodeComboBox
from .scene_widget import qMRMLWidget
from .segment_box import qMRMLSegmentSelectorWidget
from .segment_editor import qMRMLSegmentEditorWidget

TYPES = (qMRMLNodeComboBox, qMRMLSegmentEditorWidget, qMRMLSegmentSelectorWidget, qMRMLWidget)


def install() -> None:
    """Put the widgets where Slicer has them."""
    for type_ in TYPES:
        setattr(slicer, type_.__name__, type_)
