"""A beating short-axis heart of known volumes, for demonstrations, tests and training.

phantom = Phantom(ejection_fraction=45.0, seed=7)
phantom.images          # int16 (slices, phases, rows, columns)
phantom.volumes_ml      # the truth, one volume a phase
write_dicom(phantom, Path("study"))
"""

from engine.phantom.dicom import dicom_objects, truth, write_dicom
from engine.phantom.heart import Phantom

__all__ = ["Phantom", "dicom_objects", "truth", "write_dicom"]
