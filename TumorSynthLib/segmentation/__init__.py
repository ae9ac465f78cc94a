"""A small tumor segmenter: the independent judge of mask and image, and the stand-in for nnU-Net downstream.

It shares nothing with the networks that synthesize but the normalization of intensities.
"""
