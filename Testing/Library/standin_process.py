"""`worker.client` for whichever user of the server of `over_server` has this process's number; run it as a script."""

import json
import os
import sys

from SegmentPropagateLib.worker import client

if __name__ == "__main__":
    url, tokens = json.loads(os.environ["OVER_SERVER"])
    os.environ["SEGMENTPROPAGATE_TOKEN"] = tokens[os.getpid() % len(tokens)]
    sys.exit(client.main([url]))
