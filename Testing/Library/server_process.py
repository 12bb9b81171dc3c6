"""The server of `gateway_bench` in a process of its own: prints its address and tokens, and ends with its stdin.

server_process.py FOLDER [SETTINGS], JSON of what differs from the usual; `port` and `tokens` are those of a former one.
"""

import json
import sys
from types import SimpleNamespace

from gateway_bench import Server

if __name__ == "__main__":
    settings = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    if "port" in settings:
        settings["former"] = SimpleNamespace(port=settings.pop("port"), tokens=settings.pop("tokens"))
    server = Server(sys.argv[1], **settings)
    sys.stdout.write(f"{json.dumps([server.port, server.url, server.tokens])}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()
