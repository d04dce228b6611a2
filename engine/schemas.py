"""The JSON schemas of the records, generated: `python -m engine.schemas [FOLDER]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec

from engine.messages import Claim, DeadLetter, FrameInfo, Record, Result
from engine.series import Alert, SeriesMeasures
from engine.serving import Serving, ShadowComparison

SCHEMAS: dict[str, type[Record]] = {
    "frame": FrameInfo,
    "claim": Claim,
    "result": Result,
    "series": SeriesMeasures,
    "alert": Alert,
    "dead-letter": DeadLetter,
    "model": Serving,
    "shadow": ShadowComparison,
}


def write_schemas(folder: Path) -> None:
    """Write the JSON schema of every record to `folder`, as `NAME.v1.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, kind in SCHEMAS.items():
        schema = msgspec.json.schema(kind)
        (folder / f"{name}.v1.json").write_text(json.dumps(schema, indent=2) + "\n")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/schemas"))
