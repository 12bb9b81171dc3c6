"""Who may come in: names and the SHA-256 of their tokens, in a file that only the server's user can read."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from pathlib import Path

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import writing

_TOKEN_BYTES = 32
_NAME = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}"


class Tokens:
    """The file of tokens; read whenever someone comes, so that a change counts at once.

    Args:
        path: of the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, name: str) -> str:
        """Make a token for a name, in place of one it had; it is kept nowhere.

        Raises:
            InputError: the name is none, or the file cannot be written.
        """
        if not re.fullmatch(_NAME, name):
            raise InputError(f"'{name}' is no name for a user: up to 64 letters, digits and . _ @ - will do.")
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._write({**self.digests(), name: _digest(token)})
        return token

    def remove(self, name: str) -> None:
        """Let nobody in by a name any more.

        Raises:
            InputError: there is no such name.
        """
        known = self.digests()
        if name not in known:
            there = ", ".join(sorted(known)) or "nobody"
            raise InputError(f"'{name}' has no token in '{self.path}': there is {there}.")
        self._write({user: digest for user, digest in known.items() if user != name})

    def user_of(self, authorization: str) -> str | None:
        """Whose token the header `Authorization` has; None for nobody's. Takes equally long for all that are wrong."""
        scheme, _, token = authorization.partition(" ")
        given, found = _digest(token.strip()), None
        for user, digest in self.digests().items():
            if hmac.compare_digest(digest, given):
                found = user
        return found if scheme.lower() == "bearer" else None

    def digests(self) -> dict[str, str]:
        """Name -> hexadecimal SHA-256.

        Raises:
            InputError: the file is none of ours, or cannot be read.
        """
        try:
            known = json.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise InputError(
                f"The tokens in '{self.path}' cannot be read ({error.strerror}): allow it, or name another file by "
                f"--tokens."
            ) from error
        except (ValueError, RecursionError):
            known = None
        if not isinstance(known, dict) or not all(re.fullmatch("[0-9a-f]{64}", str(one)) for one in known.values()):
            raise InputError(f"'{self.path}' is no file of tokens: remove it and make the tokens anew.")
        return known

    def _write(self, digests: dict[str, str]) -> None:
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"The folder '{folder}' cannot be made ({error.strerror}): name another file by --tokens."
            ) from error
        with writing(self.path) as file:
            os.chmod(file.name, 0o600)  # noqa: PTH101 - the name is a text or a path
            file.write(f"{json.dumps(digests, indent=1, sort_keys=True)}\n".encode())


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
