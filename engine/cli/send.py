"""`scanstream send`: a scanner."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from engine.config import Settings
from engine.errors import BrokerUnavailable, ConfigError, RejectedInstance
from engine.ingest.frames import Origin, messages
from engine.ingest.publisher import Publisher
from engine.ingest.validate import Limits, read_file
from engine.routes import Routes
from engine.send import Refusal, SendReport, find_files, send_dicom
from engine.send.dicom import Progress as Tick
from engine.store import open_store

HELP = "Send DICOM files as a scanner does, or straight to Kafka as a producer does."
EXAMPLE = "scanstream send study/ --to dicom --address 127.0.0.1:11112 --rate 20"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="file or folder")
    parser.add_argument("--to", choices=("dicom", "kafka"), default="dicom")
    parser.add_argument("--address", metavar="HOST:PORT", help="the gateway, or the broker")
    parser.add_argument("--ae-title", help="the gateway's AE title")
    parser.add_argument("--calling", default="SCANSTREAM-SCU", help="our AE title")
    parser.add_argument("--stat", action="store_true", help="urgent: C-STORE priority HIGH")
    parser.add_argument("--associations", type=int, default=1, metavar="N")
    parser.add_argument("--rate", type=float, metavar="HZ", help="objects a second, open loop")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="send all N times")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--progress", action="store_true", help="a bar even without a terminal")


def run(args: argparse.Namespace) -> int:
    """Send; return 1 when anything was not accepted, or there is nothing to send."""
    for name, least in (("associations", 1), ("repeat", 1), ("rate", 1e-9)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise ConfigError(f"--{name} must be above zero")
    missing = [str(path) for path in args.paths if not path.exists()]
    if missing:
        raise ConfigError(f"{missing[0]} does not exist")
    files = list(find_files(args.paths)) * args.repeat
    if not files:
        print(f"scanstream send: no files in {', '.join(map(str, args.paths))}", file=sys.stderr)
        return 1
    with _bar(len(files), args.progress) as tick:
        report = (
            _to_dicom(files, args, tick) if args.to == "dicom" else _to_kafka(files, args, tick)
        )
    _tell(report, args.json)
    return 0 if report.ok else 1


def _to_dicom(files: Sequence[Path], args: argparse.Namespace, tick: Tick) -> SendReport:
    settings = Settings.load(ae_title=args.ae_title)
    host, port = _address(args.address or f"{settings.host}:{settings.port}")
    return send_dicom(
        files,
        host,
        port,
        ae_title=args.calling,
        called_ae_title=settings.ae_title,
        associations=args.associations,
        rate_hz=args.rate,
        stat=args.stat,
        progress=tick,
    )


def _to_kafka(files: Sequence[Path], args: argparse.Namespace, tick: Tick) -> SendReport:
    """Publish as the gateway does: checked, one message a frame, large frames stored."""
    settings = Settings.load(broker=args.address)
    report = SendReport()
    publisher = Publisher(settings)
    publisher.start()
    started = time.monotonic()
    try:
        if not publisher.wait_connected(settings.confirm_timeout_s):
            raise BrokerUnavailable(f"no broker answers at {settings.broker}: set --address")
        for index, path in enumerate(files):
            if args.rate:
                time.sleep(max(0.0, started + index / args.rate - time.monotonic()))
            report.sent += 1
            try:
                _publish_file(path, settings, publisher, args.stat)
                report.accepted += 1
                report.statuses["published"] += 1
            except (RejectedInstance, OSError) as error:
                report.refused.append(Refusal(index, str(path), str(error)))
            tick()
    finally:
        publisher.close()
    report.seconds = time.monotonic() - started
    return report


def _publish_file(path: Path, settings: Settings, publisher: Publisher, stat: bool) -> None:
    limits = Limits(
        max_object_bytes=settings.max_object_bytes, max_frame_bytes=settings.max_frame_bytes
    )
    keywords = Routes.load(settings.routes).keywords
    instance = read_file(path.read_bytes(), limits=limits, keywords=keywords)
    origin = Origin.now("/kafka/send", "stat" if stat else "bulk", settings)
    publisher.publish(
        messages(
            instance,
            origin,
            store=open_store(settings),
            inline_limit=settings.inline_limit,
            wire_codec=settings.wire_codec,
        )
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"--address {text}: it must be HOST:PORT")
    return host, int(port)


@contextmanager
def _bar(total: int, wanted: bool) -> Iterator[Tick]:
    """A progress bar on stderr, on a terminal or when it is asked for."""
    console = Console(stderr=True)
    if not (wanted or console.is_terminal):
        yield lambda: None
        return
    with Progress(console=console) as progress:
        task = progress.add_task("sending", total=total)
        yield lambda: progress.advance(task)


def _tell(report: SendReport, as_json: bool) -> None:
    for refusal in report.refused:
        print(f"{refusal.path}: {refusal.reason}", file=sys.stderr)
    rate = report.accepted / report.seconds if report.seconds else 0.0
    if as_json:
        summary = {
            "sent": report.sent,
            "accepted": report.accepted,
            "seconds": report.seconds,
            "objects_per_second": rate,
            "statuses": dict(report.statuses),
            "refused": [{"path": each.path, "reason": each.reason} for each in report.refused],
        }
        print(json.dumps(summary))
    else:
        print(
            f"{report.accepted} of {report.accepted + len(report.refused)} accepted"
            f" in {report.seconds:.2f} s ({rate:.1f}/s)"
        )
