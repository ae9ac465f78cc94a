"""The elements of a DICOM header that a derived series cannot simply take over, by keyword (standard library only)."""

OF_PIXELS = (
    "PixelData",
    "FloatPixelData",
    "DoubleFloatPixelData",
    "PixelDataProviderURL",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "IconImageSequence",
    "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries",
    "SmallestImagePixelValueInPlane",
    "LargestImagePixelValueInPlane",
    "HistogramSequence",
    "SourceImageSequence",
    "DerivationImageSequence",
    "NumberOfFrames",
)
"""Other forms of the pixels, what was counted on them, and what they were derived from before."""
OF_FILE = (
    "DigitalSignaturesSequence",
    "MACParametersSequence",
    "EncryptedAttributesSequence",
    "InstanceCreatorUID",
    "InstanceOriginStatus",
    "SOPInstanceStatus",
    "SOPAuthorizationDateTime",
    "SOPAuthorizationComment",
    "AuthorizationEquipmentCertificationNumber",
    "ConversionSourceAttributesSequence",
    "StorageMediaFileSetUID",
    "StorageMediaFileSetID",
    "RetrieveAETitle",
    "RetrieveURL",
    "InstanceAvailability",
    "DataSetTrailingPadding",
)
"""What certifies the source's file or tells where it is kept."""
OF_STUDY = (
    "RequestAttributesSequence",
    "ReferencedStudySequence",
    "ReferencedPerformedProcedureStepSequence",
    "IssuerOfAccessionNumberSequence",
    "PerformedProcedureStepID",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "PerformedProcedureStepEndDate",
    "PerformedProcedureStepEndTime",
    "PerformedProcedureStepDescription",
    "PerformedProtocolCodeSequence",
    "RequestingService",
    "RequestedProcedureDescription",
    "RequestedProcedureID",
    "RequestedProcedureCodeSequence",
    "ScheduledProcedureStepID",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "OriginalAttributesSequence",
    "ReferencedPatientSequence",
)
"""By these an archive would file a new study under the old order."""
OF_PATIENT = (
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "OtherPatientIDs",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "PatientBirthName",
    "PatientMotherBirthName",
    "TypeOfPatientID",
    "SourcePatientGroupIdentificationSequence",
    "GroupOfPatientsIdentificationSequence",
)
"""By these an archive would find the old patient."""
NEVER_MISSING = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
    "Manufacturer",
    "PositionReferenceIndicator",
    "SliceThickness",
)
"""Elements of type 2: present, though perhaps empty."""
SAFE_PRIVATE = {
    (0x7053, "Philips PET Private Group"): {0x00, 0x09},
    (0x0019, "SIEMENS MR HEADER"): {0x0C, 0x0D, 0x0E, 0x27},
    (0x0043, "GEMS_PARM_01"): {0x39},
    (0x2001, "Philips Imaging DD 001"): {0x03},
}
"""Scale factors of SUV and b-values by group and creator, after PS3.15 table E.3.10-1. What else makers store may depend on
pixels."""
STORED_NUMBERS = ("PixelPaddingValue", "PixelPaddingRangeLimit")
"""Elements whose kind of value is that of the pixels."""
