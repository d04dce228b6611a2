"""Keep patient data out of logs: the DICOM libraries quote identifiers and UIDs in theirs."""

from __future__ import annotations

import logging
import warnings

from pydicom import config
from pynetdicom import _config


def silence_dicom_libraries() -> None:
    """Turn off the logs and warnings of pydicom and pynetdicom in this process.

    Call it before a server or an association is made: pynetdicom binds its logging then.
    """
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    # real UIDs break the rules, and the warning about it quotes them
    config.settings.reading_validation_mode = config.IGNORE
    for name in ("pydicom", "pynetdicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"(pydicom|pynetdicom)(\.|$)")
