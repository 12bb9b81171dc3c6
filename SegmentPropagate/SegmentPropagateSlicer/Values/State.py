"""The states of a run."""


class State:
    """The states of `SegmentPropagateLogic.state`."""

    IDLE = "idle"  # nothing proposed; keys may be edited
    STARTING = "starting"  # the worker starts, takes the volume, loads the model
    RUNNING = "running"  # slices arrive
    CANCELLING = "cancelling"  # waits for the worker to obey (or be killed)
    REVIEW = "review"  # a finished proposal waits for Accept or Discard
    WRITING = "writing"  # a large proposal that was accepted is being written
    BUSY = (STARTING, RUNNING, CANCELLING, WRITING)
