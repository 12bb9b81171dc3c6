"""What can be typed after `serve`. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

import argparse
from pathlib import Path

from SegmentPropagateLib.cli.words import count

PORT = 8765


def add_serve(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of `serve` and `serve token`.

    Args:
        parser: of `serve`.
    """
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 127.0.0.1 is this computer alone")
    parser.add_argument("--port", type=_port, default=PORT, help="port to listen on; 0 takes a free one, and tells it")
    parser.add_argument("--cert", metavar="FILE", help="certificate for TLS (PEM, with its chain); with --key")
    parser.add_argument("--key", metavar="FILE", help="private key of the certificate")
    parser.add_argument(
        "--models",
        nargs="+",
        metavar="NAME_OR_FILE",
        help="what may be asked for (default: the models that are at hand)",
    )
    parser.add_argument("--device", default="auto", help="where workers compute, such as cuda:1; auto: a GPU if any")
    parser.add_argument("--slots", type=count, default=1, metavar="N", help="requests computed at once")
    parser.add_argument(
        "--users",
        type=count,
        default=16,
        metavar="N",
        help="users at once, each with a model in memory",
    )
    parser.add_argument(
        "--idle",
        type=count,
        default=600,
        metavar="SECONDS",
        help="after which a worker that nobody asks is ended",
    )
    _add_tokens(parser, default_tokens())
    what = parser.add_subparsers(dest="what", metavar="token", help="`serve token --help`: who may use the server")
    token = what.add_parser(
        "token",
        help="make and remove the tokens of users",
        description="Say who may use the server; a server that runs heeds it at once.",
        epilog="example: segment-propagate serve token add anna",
    )
    token.add_argument("action", choices=("add", "remove", "list"), help="add prints the new token, this once")
    token.add_argument("name", nargs="?", metavar="NAME", help="of the user; not for list")
    _add_tokens(token, argparse.SUPPRESS)  # what stood before `token` holds


def default_tokens() -> str:
    """The file of tokens where none is named: in the folder of settings, as caches are cleared."""
    try:
        return str(Path.home() / ".config" / "segment-propagate" / "tokens.json")
    except RuntimeError:  # a user without a home
        return "segment-propagate-tokens.json"


def _add_tokens(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--tokens", default=default, metavar="FILE", help="file of the tokens' SHA-256")


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"'{text[:20]}' is not a port, a number from 0 to 65535")
    return int(text)
