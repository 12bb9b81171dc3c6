"""Stands in for the worker on the user's computer: requests on stdin, replies on stdout, the worker on a server.

    python -m SegmentPropagateLib.worker.client URL [--check]
    python -m SegmentPropagateLib.worker.client --help

URL is `wss://HOST[:PORT][/v1/worker]` (`segment-propagate serve` behind TLS), `ws://` for this very computer (or a
tunnel to it), or `ssh://[USER@]HOST[:PORT]` (`segment-propagate-worker` there, by the system's `ssh`). Whoever speaks
with `python -m SegmentPropagateLib.worker` can speak with this in its place: requests, replies and their order are the
same. `--check` asks the server who it is, prints that as one line of JSON (`user`, `version`, `protocol`, `models`,
`limits`; over SSH only `version`, `protocol`, `missing`) and ends. Besides numpy, `websockets` is all that is needed.

What differs from a worker of this computer:

* `welcome.pid` is the number of this process, which may be killed; the server's worker is none of ours.
* `remote` replies come to `segment` and `propagate`: `queued` with the number of requests `ahead`, again whenever that
  changes and every minute; `lost` when the connection is lost, `resumed` when it is back (`replies.Remote`).
* A lost connection is made again for as long as the server keeps the session (ten minutes unless it says otherwise).
  The worker there goes on with its run; what it has sent meanwhile comes afterwards. No request has to be repeated.
* A request that has not reached the server, or is cancelled while the connection is lost, is answered by `cancelled`
  at once.
* What the worker there logs comes to stderr, but for what is beyond all reading.
* `setup.model.device` is the server's business and replaced by it; models are those of its list.

Environment:
    SEGMENTPROPAGATE_TOKEN: the token that `segment-propagate serve token add NAME` has printed; or
    SEGMENTPROPAGATE_TOKEN_FILE: a file with it. It is never an argument, which other users of a computer can read.
    SEGMENTPROPAGATE_CA: a PEM file with the certificate of a server that no public authority vouches for.
    SEGMENTPROPAGATE_SSH: the command for `ssh://`, with options; default `ssh`.
    HTTPS_PROXY and the like are obeyed, but never for this computer itself.

Exit status; the last line on stderr is the sentence for the user (lines before it are the log):
    0: ended as asked, by the end of stdin or `quit`.
    2: the address, the token, the certificate or what was sent cannot be: settings have to be mended.
    3: the server does not answer, is full, or the user is connected already: later it may go.
    4: the session has ended (idle, or the connection was lost for too long): starting again goes, with a new session,
       which is handed the volume again (nothing of it is sent that the server still has).
    5: the worker on the server died: starting again goes.
    1: anything else.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from SegmentPropagateLib.worker.remote.address import Address
    from SegmentPropagateLib.worker.remote.ending import Ending

USAGE = "Give the address of one server, such as wss://gpu.example.org, with --check to only ask who it is."


def main(argv: list[str] | None = None) -> int:
    """Stand in for a worker until stdin ends; returns the exit status."""
    from SegmentPropagateLib.errors import InputError  # nothing is imported before `sys.path` is right
    from SegmentPropagateLib.worker.remote.address import read_address
    from SegmentPropagateLib.worker.remote.ending import Ending

    words = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"}.intersection(words):
        sys.stdout.write(str(__doc__))
        sys.stdout.flush()  # this process ends without that
        return 0
    others = [word for word in words if word != "--check"]
    try:
        if len(others) != 1 or others[0].startswith("-"):
            raise InputError(USAGE)
        ending = _serve(read_address(others[0]), len(others) < len(words))
    except InputError as error:
        ending = Ending(2, str(error))
    except KeyboardInterrupt:
        ending = Ending(0)
    if ending.sentence:
        sys.stderr.write(f"{ending.sentence}\n")
        sys.stderr.flush()
    return ending.status


def _serve(address: Address, check: bool) -> Ending:
    from SegmentPropagateLib.errors import InputError
    from SegmentPropagateLib.worker.remote import http, ssh
    from SegmentPropagateLib.worker.remote.address import read_token

    if address.scheme == "ssh":
        return ssh.ask_who(address) if check else ssh.stand_in(address)
    token = read_token(os.environ)
    if check:
        return http.ask_who(address, token)
    try:
        from SegmentPropagateLib.worker.remote import proxy
    except ModuleNotFoundError as error:
        raise InputError(f"To reach a server '{error.name}' is needed: pip install websockets.") from None
    import asyncio

    return asyncio.run(proxy.stand_in(address, token))


if __name__ == "__main__":
    if not (getattr(sys.flags, "safe_path", False) or sys.flags.isolated):  # the former since Python 3.11
        del sys.path[0]  # where it was started, maybe among a patient's files
    status = main()
    os._exit(status)  # a thread may wait for ever for a panel that neither writes nor reads
