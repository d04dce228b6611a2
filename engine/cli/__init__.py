"""The scanstream command: one module a subcommand, imported only when it is called.

A command module gives `HELP` (one line), `EXAMPLE` (a command line), `add_arguments(parser)` and
`run(args) -> int` (0 done, 1 the work failed, 2 wrong usage).
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from engine.errors import ConfigError, EngineError

COMMANDS = {
    "demo": "stream a study, or the project's phantom, through the whole path",
    "up": "run the whole local stack until Ctrl-C",
    "gateway": "run the DICOM gateway (C-STORE)",
    "worker": "run one worker",
    "series": "measure series from the results",
    "send": "send DICOM files as a scanner does",
    "results": "read results as a downstream consumer does",
    "dead-letters": "list, show and retry what could not be done",
    "reconcile": "compare accepted frames with answered ones, and drive the missing again",
    "inspect": "say what is in DICOM files, with a checksum of their pixels",
    "topics": "say what is on the topics, who reads them, and what waits",
    "config": "show every setting, its value, and where it came from",
    "doctor": "say what is there, what is missing, and what to do about it",
    "model": "train, evaluate and list models",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. Errors go to stderr in one line."""
    words = list(sys.argv[1:] if argv is None else argv)
    name = words[0] if words else ""
    if name not in COMMANDS:
        return _overview(name)
    args = parser_of(name).parse_args(words[1:])
    try:
        return int(_module(name).run(args))
    except ConfigError as error:
        print(f"scanstream {name}: {error}", file=sys.stderr)
        return 2
    except EngineError as error:
        print(f"scanstream {name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def parser_of(name: str) -> argparse.ArgumentParser:
    """Return the parser of one of `COMMANDS`; its help ends with an example."""
    module = _module(name)
    parser = argparse.ArgumentParser(
        prog=f"scanstream {name}",
        description=module.HELP,
        epilog=f"example: {module.EXAMPLE}",
    )
    module.add_arguments(parser)
    return parser


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"engine.cli.{name.replace('-', '_')}")


def _overview(name: str) -> int:
    """Print the list of commands; return 0 when it was asked for, 2 when `name` is unknown."""
    asked = name in ("", "-h", "--help", "help")
    if not asked:
        print(f"scanstream: no command `{name}`; these exist:", file=sys.stderr)
    lines = ["usage: scanstream COMMAND [-h] ...", ""]
    lines += [f"  {command:<14}{text}" for command, text in COMMANDS.items()]
    lines += ["", "example: scanstream demo --frames 240 --out out/demo"]
    print("\n".join(lines), file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2
