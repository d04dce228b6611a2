"""A scanner: send DICOM objects to a gateway, as they are."""

from engine.send.dicom import NotSent, Refusal, SendReport, find_files, send_dicom

__all__ = ["NotSent", "Refusal", "SendReport", "find_files", "send_dicom"]
