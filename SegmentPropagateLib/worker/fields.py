"""What a message says, as a dataclass whose annotations are its rules.

The rules are checked whenever such an object is made: by the sender who fills it in, and by the receiver who reads it
off a `Message`. So neither side ever holds one that is wrong, and a new message is a dataclass and a handler.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import MappingProxyType, NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NoReturn,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from SegmentPropagateLib.worker.messages import SHOWN_CHARACTERS, Message, MessageError, printable, shown

LARGEST = (1 << 31) - 1  # of the whole numbers: what Qt, C and every process id can hold
LARGEST_EXACT = 1 << 53  # of the whole numbers that stand for real ones

_NAMES = MappingProxyType(
    {
        bool: "true or false",
        int: "a whole number",
        float: "a finite number",
        str: "a text",
        Mapping: "an object",
        np.ndarray: "an array",
    }
)


@dataclass(frozen=True)
class Rule:
    """What a value must be beyond its type.

    Args:
        holds: whether a value of the right type is so.
        wanted: the same in words, after "must be".
    """

    holds: Callable[[Any], bool]
    wanted: str


def one_of(choices: tuple[str, ...]) -> Rule:
    """One of a few words."""
    return Rule(lambda text: text in choices, f"one of {', '.join(choices)}")


def array_of(kinds: str, axes: int, wanted: str) -> Rule:
    """An array of these numpy kinds (`b`, `i`, `u`, `f`) with so many axes."""
    return Rule(lambda array: array.dtype.kind in kinds and array.ndim == axes, wanted)


Index = Annotated[int, Rule(lambda n: 0 <= n <= LARGEST, f"from 0 to {LARGEST}")]
Count = Annotated[int, Rule(lambda n: 1 <= n <= LARGEST, f"from 1 to {LARGEST}")]
Bytes = Annotated[int, Rule(lambda n: 0 <= n <= 1 << 50, f"from 0 to {1 << 50}")]
Share = Annotated[float, Rule(lambda x: 0 <= x <= 1, "from 0 to 1")]
Amount = Annotated[float, Rule(lambda x: x >= 0, "at least 0")]
Text = Annotated[str, Rule(lambda text: bool(text.strip()), "a text that is not empty")]
Line = Annotated[str, Rule(lambda text: printable(text) == text, "one line of printable characters")]
Sentence = Annotated[Line, Rule(lambda text: bool(text.strip()), "a text that is not empty")]

Kind = TypeVar("Kind", bound="Content")


class Content:
    """Base of requests and replies: frozen dataclasses of JSON-able fields and at most one array.

    Attributes:
        word: by which the other side knows what this is, the header's `type`.
    """

    word: ClassVar[str]

    def __post_init__(self) -> None:
        for name, hint in self._hints().items():
            object.__setattr__(self, name, conform(hint, getattr(self, name), f"{self.word}.{name}"))
        self.check()

    def check(self) -> None:
        """Raise MessageError where fields that are right by themselves do not fit together."""

    def to_message(self, identity: int) -> Message:
        """What goes over the wire, for the request of that id."""
        values = {name: getattr(self, name) for name in self._hints()}
        array = values.pop(self._array_field(), None)
        plain = {name: _to_json(value) for name, value in values.items()}
        return Message({"type": self.word, "id": identity, **plain}, array)

    @classmethod
    def from_message(cls: type[Kind], message: Message) -> Kind:
        """What the other side says.

        Raises:
            MessageError: a field is missing, unknown, of another type or out of range; the sentence names it.
        """
        given = {name: value for name, value in message.header.items() if name not in ("type", "id")}
        array, known = cls._array_field(), set(cls._hints())
        _refuse_unknown(known - {array}, given, cls.word)
        if array:
            given[array] = message.array
        elif message.array is not None:
            raise MessageError(f"The message '{cls.word}' carries an array, which has no place in it.")
        _require(known, given, cls.word)
        return cls(**given)

    @classmethod
    def _hints(cls: Any) -> Mapping[str, Any]:
        return _hints(cls)

    @classmethod
    def _array_field(cls: Any) -> str:
        return _array_field(cls)


def identity_of(message: Message) -> int:
    """The id of the request that a message is, belongs to, or is meant for."""
    return int(conform(Index, message.header.get("id"), "id"))


def kinds_of(base: type[Kind]) -> Mapping[str, type[Kind]]:
    """`word` -> class, of all messages that derive from a base."""
    found: dict[str, type[Kind]] = {}
    for kind in base.__subclasses__():
        found |= {kind.word: kind} if "word" in vars(kind) else kinds_of(kind)
    return MappingProxyType(found)


def reject(path: str, wanted: str, value: object) -> NoReturn:
    """Raise the MessageError of a field that is not what it must be."""
    raise MessageError(f"The field '{path}' must be {wanted}, got {shown(value)}.")


def conform(hint: Any, value: Any, path: str) -> Any:
    """The value as its annotation has it: arrays of JSON become tuples, its objects dataclasses.

    Args:
        hint: `bool`, `int`, `float`, `str`, a `Literal`, a `Mapping`, an array, a dataclass, a tuple of these or one
            of them `| None`; `Annotated` adds `Rule`s.
        value: as it was given, or came out of JSON.
        path: what to call it, such as `propagate.setup.model`.

    Raises:
        MessageError: the value is something else.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        value = conform(arguments[0], value, path)
        for rule in arguments[1:]:
            if not rule.holds(value):
                reject(path, rule.wanted, value)
        return value
    if origin in (Union, UnionType):
        (one,) = (argument for argument in arguments if argument is not NoneType)
        return None if value is None else conform(one, value, path)
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            reject(path, f"one of {', '.join(arguments)}", value)
        return value
    if origin is tuple:
        return _tuple(arguments, value, path)
    return _record(hint, value, path) if is_dataclass(hint) else _scalar(origin or hint, value, path)


def _tuple(hints: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        reject(path, "a list", value)
    if hints[-1] is Ellipsis:
        hints = hints[:1] * len(value)
    if len(value) != len(hints):
        reject(path, f"a list of {len(hints)}", value)
    return tuple(conform(hint, item, f"{path}[{n}]") for n, (hint, item) in enumerate(zip(hints, value, strict=True)))


def _record(kind: Any, value: Any, path: str) -> Any:
    hints = _hints(kind)
    if isinstance(value, kind):
        value = {name: getattr(value, name) for name in hints}
    if not isinstance(value, Mapping):
        reject(path, "an object", value)
    _refuse_unknown(hints.keys(), value, path)
    _require(set(hints), value, path)
    return kind(**{name: conform(hint, value[name], f"{path}.{name}") for name, hint in hints.items()})


def _scalar(kind: type, value: Any, path: str) -> Any:
    right = isinstance(value, kind)
    if kind is float and isinstance(value, int) and abs(value) <= LARGEST_EXACT:  # JSON may write 3.0 as 3
        value, right = float(value), not isinstance(value, bool)
    if kind is float and right:
        right = math.isfinite(value)
    if not right or (kind is int and isinstance(value, bool)):
        reject(path, _NAMES[kind], value)
    return value


def _refuse_unknown(names: Set[str], given: Mapping[str, Any], path: str) -> None:
    unknown = sorted(given.keys() - names)
    if unknown:
        raise MessageError(f"There is no field '{path}.{printable(unknown[0][:SHOWN_CHARACTERS])}'.")


def _require(names: set[str], given: Mapping[str, Any], path: str) -> None:
    missing = sorted(names - given.keys())
    if missing:
        raise MessageError(f"The field '{path}.{missing[0]}' is missing.")


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    """Field -> annotation, of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    return MappingProxyType({field.name: hints[field.name] for field in fields(kind)})


@cache
def _array_field(kind: Any) -> str:
    """The field that travels as the payload; empty where there is none."""
    for name, hint in _hints(kind).items():
        if get_origin(get_args(hint)[0] if get_origin(hint) is Annotated else hint) is np.ndarray:
            return name
    return ""


def _to_json(value: Any) -> Any:
    if is_dataclass(value):
        return {name: _to_json(getattr(value, name)) for name in _hints(value.__class__)}
    return [_to_json(item) for item in value] if isinstance(value, tuple) else value
