"""The DICOM upper layer (PS3.8) and the DIMSE services of an SCP (PS3.7), one thread a peer."""
