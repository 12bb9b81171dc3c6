"""*Propagate* in the effect list of the Segment Editor: a few widgets over the logic of the module."""
