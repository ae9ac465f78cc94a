"""Which texture features a number is about."""

from TumorSynthLib.configs import TEXTURE_TOKENS
from TumorSynthLib.feature_names import TEXTURE_FEATURES

SIZE_FEATURES = (
    "firstorder_Energy",
    "firstorder_TotalEnergy",
    "glrlm_GrayLevelNonUniformity",
    "glrlm_RunLengthNonUniformity",
    "glszm_GrayLevelNonUniformity",
    "glszm_SizeZoneNonUniformity",
    "glszm_LargeAreaEmphasis",
    "glszm_LargeAreaHighGrayLevelEmphasis",
    "glszm_LargeAreaLowGrayLevelEmphasis",
    "glszm_ZoneVariance",
    "gldm_GrayLevelNonUniformity",
    "gldm_DependenceNonUniformity",
    "ngtdm_Busyness",
    "ngtdm_Coarseness",
    "ngtdm_Strength",
)
"""Features that change by a factor of three or more when the same texture fills a mask of eight times the voxels: sums over
voxels, runs or zones that are not divided by their number. A real mask alone makes them agree."""

HISTOGRAM_FEATURES = (
    *(name for name in TEXTURE_FEATURES if name.startswith("firstorder_")),
    "glcm_Autocorrelation",
    "glcm_JointAverage",
    "glcm_SumAverage",
    "glcm_SumSquares",
    "glrlm_GrayLevelNonUniformityNormalized",
    "glrlm_GrayLevelVariance",
    "glrlm_HighGrayLevelRunEmphasis",
    "glrlm_LowGrayLevelRunEmphasis",
    "glszm_GrayLevelVariance",
    "glszm_HighGrayLevelZoneEmphasis",
    "gldm_GrayLevelNonUniformity",
    "gldm_GrayLevelVariance",
    "gldm_HighGrayLevelEmphasis",
    "gldm_LowGrayLevelEmphasis",
)
"""Features that the histogram decides: shuffling a tumor's voxels hardly changes them. First-order calibration sets them."""

FEATURE_SETS = {
    "all": TEXTURE_FEATURES,
    "size_free": tuple(name for name in TEXTURE_FEATURES if name not in SIZE_FEATURES),
    "tokens": TEXTURE_TOKENS,
    "beyond_histogram": tuple(name for name in TEXTURE_FEATURES if name not in SIZE_FEATURES + HISTOGRAM_FEATURES),
}
"""Named sets: all; without those that follow the number of voxels; those asked for; and those of the second set that no
first-order calibration sets."""

COLUMNS = {name: [TEXTURE_FEATURES.index(feature) for feature in members] for name, members in FEATURE_SETS.items()}
"""Columns of each set in a table of all features."""
