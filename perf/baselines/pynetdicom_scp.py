"""pynetdicom's own storage SCP: the bytes of each object to a file, nothing decoded.

`python -m perf.baselines.pynetdicom_scp` listens where the settings `host` and `port` say and
writes into `store`, without fsync. Turned in its favour: PDUs of any length, and none of the
handlers that describe each PDU for a debug log (`_config.LOG_HANDLER_LEVEL`).
"""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path
from typing import Any

from pynetdicom import AE, AllStoragePresentationContexts, _config, evt
from pynetdicom.sop_class import Verification

from engine.config import Settings

ANY_LENGTH = 0
ASSOCIATIONS = 32


def main() -> None:
    """Serve until a signal."""
    settings, numbers = Settings.load(), itertools.count()
    folder = Path(settings.store)

    def store(event: Any) -> int:
        (folder / f"{next(numbers)}.dcm").write_bytes(event.encoded_dataset())
        return 0x0000

    _config.LOG_HANDLER_LEVEL = "none"
    ae = AE(ae_title=settings.ae_title)
    ae.maximum_pdu_size, ae.maximum_associations = ANY_LENGTH, ASSOCIATIONS
    ae.supported_contexts = AllStoragePresentationContexts
    ae.add_supported_context(Verification)
    address = (settings.host, settings.port)
    ae.start_server(address, block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    Path(os.environ["SCANSTREAM_READY_FILE"]).touch()
    threading.Event().wait()


if __name__ == "__main__":
    main()
