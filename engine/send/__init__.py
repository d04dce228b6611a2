"""A scanner: send DICOM objects to a gateway, as they are."""

from engine.send.dicom import Refusal, SendReport, find_files, send_dicom

__all__ = ["Refusal", "SendReport", "find_files", "send_dicom"]
