"""`segment-propagate serve`."""

from __future__ import annotations

import argparse
from pathlib import Path

from SegmentPropagateLib.cli.console import speaker
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import is_there
from SegmentPropagateLib.models.registry import REGISTRY, resolve
from SegmentPropagateLib.server.settings import Settings
from SegmentPropagateLib.server.tokens import Tokens


def run(arguments: argparse.Namespace) -> None:
    """Serve until interrupted, or change who may use the server."""
    tokens = Tokens(Path(arguments.tokens))
    if arguments.what == "token":
        _change_tokens(tokens, arguments)
        return
    try:
        from SegmentPropagateLib.server.run import serve
    except ModuleNotFoundError as error:
        if str(error.name).startswith("SegmentPropagateLib"):
            raise
        raise InputError(
            f"A server needs '{error.name}': pip install starlette uvicorn websockets zstandard, or the extra [server]."
        ) from None
    settings = Settings(
        models=_models_of(arguments.models),
        device=arguments.device,
        slots=arguments.slots,
        most_users=arguments.users,
        idle_s=float(arguments.idle),
    )
    if not tokens.digests():
        raise InputError(
            f"There is no token in '{tokens.path}', so nobody could come in: segment-propagate serve token add NAME."
        )
    serve(settings, tokens, (arguments.host, arguments.port), (arguments.cert, arguments.key), speaker(quiet=False))


def _change_tokens(tokens: Tokens, arguments: argparse.Namespace) -> None:
    if arguments.action == "list":
        told = "\n".join(sorted(tokens.digests()))
    elif not arguments.name:
        raise InputError(f"Whose token? segment-propagate serve token {arguments.action} NAME.")
    elif arguments.action == "add":
        told = tokens.add(arguments.name)
    else:
        tokens.remove(arguments.name)
        told = ""
    if told:
        print(told)  # noqa: T201 - this command's output


def _models_of(names: list[str] | None) -> tuple[str, ...]:
    """What may be asked for.

    Raises:
        InputError: a name that no model has, or a model whose licence was not accepted.
    """
    if names is None:
        return tuple(name for name, model in REGISTRY.items() if model.is_ready)
    for name in names:
        model = resolve(name)
        if isinstance(model, Path):
            continue
        if model.awaits_consent:
            raise InputError(
                f"The licence of '{name}' forbids some uses: accept it once on this computer, by "
                f"segment-propagate demo --model {name} --accept-licence."
            )
    return tuple(str(Path(name).resolve()) if name not in REGISTRY and is_there(name) else name for name in names)
