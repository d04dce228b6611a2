"""`scanstream up`: the whole local stack until Ctrl-C."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from engine.config import Settings
from engine.errors import ConfigError
from engine.local.kafka import Kafka
from engine.local.stack import LocalStack, local_port
from engine.local.supervise import Supervisor

HELP = "Run broker, Triton, gateway and workers on this machine, on loopback, until Ctrl-C."
EXAMPLE = "scanstream up --workers 2"
CHECK_S = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--workers", type=int, default=1, help="workers of the bulk lane")
    parser.add_argument("--folder", type=Path, default=Path("var/up"), help="where the logs go")
    parser.add_argument("--repository", type=Path, help="Triton's models; default: the project's")
    parser.add_argument("--kafka", action="store_true", help="Apache Kafka itself (needs Java 17)")
    parser.add_argument("--nodes", type=int, choices=(1, 2, 3), help="nodes of Apache Kafka")
    parser.add_argument(
        "--free-ports",
        action="store_true",
        help="take free ports instead of the ones that the settings name",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object once ready")


def run(args: argparse.Namespace) -> int:
    """Start, say where everything is, supervise; return 0 after Ctrl-C or SIGTERM."""
    if args.workers < 1:
        raise ConfigError("--workers must be at least 1")
    if args.nodes and not args.kafka:
        raise ConfigError("--nodes is for --kafka: the pip broker is one process")
    settings = _settings(args)
    stop = threading.Event()
    stack = LocalStack(
        args.folder,
        settings,
        workers=args.workers,
        stat_workers=1,
        free_ports=args.free_ports,
        repository=args.repository,
        broker=_kafka(args, settings) if args.kafka else None,
    )
    # While it starts, Ctrl-C interrupts; afterwards it ends the waiting.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _say("starting broker, Triton, gateway and workers ...")
    with stack:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        vital = None if stack.broker.durable else stack.broker.nodes[0]
        print(_as_json(stack) if args.json else _as_text(stack), flush=True)
        supervisor = Supervisor(stack.servers, _say, vital=vital)
        while not stop.wait(CHECK_S):
            supervisor.check(time.monotonic())
        _say("stopping ...")
    return 0


def _settings(args: argparse.Namespace) -> Settings:
    """Return the settings; with several nodes every topic is on each of them."""
    settings = Settings.load()
    if (args.nodes or 1) > 1 and settings.replication == 1:
        return replace(settings, replication=args.nodes)
    return settings


def _kafka(args: argparse.Namespace, settings: Settings) -> Kafka:
    nodes = args.nodes or 1
    if args.free_ports:
        return Kafka(args.folder, nodes=nodes)
    return Kafka(args.folder, nodes=nodes, port=local_port("broker", settings))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _as_json(stack: LocalStack) -> str:
    settings = stack.settings
    return json.dumps(
        {
            "broker": settings.broker,
            "triton": settings.triton,
            "gateway": f"{settings.host}:{settings.port}",
            "ae_title": settings.ae_title,
            "store": str(settings.store),
            "logs": str(stack.folder),
            "services": [
                {"name": server.name, "pid": server.pid, "alive": server.alive}
                for server in stack.servers
            ],
        }
    )


def _as_text(stack: LocalStack) -> str:
    settings = stack.settings
    where = {
        "broker": f"{settings.broker} (Kafka's protocol, in memory only)",
        "kafka-1": f"{settings.broker} (Apache Kafka)",
        "triton": f"{settings.triton} (gRPC), {stack.triton.http_address} (HTTP)",
        "gateway": f"{settings.host}:{settings.port} (DICOM, AE title {settings.ae_title})",
    }
    lines = [
        f"  {server.name:<14}ready  pid {server.pid:<8}{where.get(server.name, '')}".rstrip()
        for server in stack.servers
    ]
    shown = {server.name: getattr(server, "metrics_port", 0) for server in stack.servers}
    lines += [
        f"  {name:<14}metrics at http://127.0.0.1:{port}/metrics"
        for name, port in shown.items()
        if port
    ]
    mine = Settings.load()
    given = "".join(
        f"SCANSTREAM_{name.upper()}={getattr(settings, name)} "
        for name in ("broker", "port")
        if getattr(settings, name) != getattr(mine, name)
    )
    return "\n".join(
        [
            *lines,
            "",
            f"logs: {stack.folder}/NAME.log; stop with Ctrl-C. Next, in other terminals:",
            f"  {given}scanstream results --follow",
            f"  {given}scanstream send PATH --to dicom",
        ]
    )
