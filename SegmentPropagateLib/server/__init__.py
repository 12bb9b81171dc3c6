"""One GPU for several people: a gateway in front of a worker process per user. Needs the extra `[server]`."""
