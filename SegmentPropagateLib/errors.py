"""The errors that the library raises on purpose; everything else is a bug."""


class SegmentPropagateError(Exception):
    """Base of the errors whose message is one sentence meant for the user."""


class InputError(SegmentPropagateError):
    """Something the user gave cannot be used; the message says what, where, and what to do (exit status 2)."""


class CheckpointError(InputError):
    """A model file is missing, damaged, unsafe or of an unknown kind."""


class OutOfMemoryError(SegmentPropagateError):
    """The device ran out of memory even after every fallback; the session stays usable."""


class CancelledError(SegmentPropagateError):
    """The user does not want the result any more."""
