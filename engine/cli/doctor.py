"""`scanstream doctor`: what is there, what is missing, and what to do about it."""

from __future__ import annotations

import argparse
from itertools import chain

import msgspec

from engine.config import Settings
from engine.decode import available
from engine.local.checks import Check, run_checks

HELP = "Check this machine for the embedded stack; exit 0 when it can run, 1 when it cannot."
EXAMPLE = "scanstream doctor --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print every check; return 0 when nothing that is needed is missing."""
    checks = []
    for check in chain(run_checks(Settings.load()), [decoders()]):
        checks.append(check)
        if not args.json:
            print(_line(check), flush=True)
    missing = [check.name for check in checks if check.state == "missing"]
    if args.json:
        print(msgspec.json.encode({"ok": not missing, "checks": checks}).decode())
    elif missing:
        print(f"\nthe embedded stack cannot run: cure {', '.join(missing)}")
    else:
        print("\nthe embedded stack can run; next: scanstream demo")
    return 1 if missing else 0


def decoders() -> Check:
    """Check that all transfer syntaxes can be decoded; without one, its frames are dead letters."""
    cures = {uid: one.missing for uid, one in available().items() if one.missing is not None}
    found = f"of {len(available())} transfer syntaxes, all can be decoded"
    if cures:
        found = f"cannot be decoded: {', '.join(cures)}"
    cure = "; ".join(sorted(set(cures.values())))
    return Check(name="decoders", state="absent" if cures else "ok", found=found, cure=cure)


def _line(check: Check) -> str:
    cure = f"\n{'':<24}-> {check.cure}" if check.cure else ""
    return f"{check.state:<9}{check.name:<15}{check.found}{cure}"
