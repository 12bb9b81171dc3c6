"""The stand-ins for Slicer's widgets by class, as Qt Designer has its plug-ins: a ``.ui`` file may name them."""

REGISTRY = {}  # class name -> Python class


def register(cls):
    """Class decorator: the class may be named in a ``.ui`` file."""
    REGISTRY[cls.__name__] = cls
    return cls
