"""TumorSynth inside 3D Slicer: what lies between the panel, the scene and the worker."""
