"""Give PySide6 classes the PythonQt conventions that Slicer modules are written in.

* Qt properties are plain attributes:      ``button.text = "x"``, ``spin.value`` (not ``value()``)
* signals are connected by signature:      ``button.connect("clicked(bool)", f)``
* a slot may take fewer arguments than the signal sends
* ``name`` is ``objectName``
* an unknown attribute may not be set:     ``button.txt = 1`` is reported by ``stray_attributes(panel)``

Exceptions raised in slots are recorded in ``slot_errors`` (Qt itself only prints them).
"""

import contextlib
import functools
import inspect
import re
import traceback

import shiboken6
from PySide6 import QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets

slot_errors = []
QT_MODULES = (QtCore, QtGui, QtWidgets, QtNetwork, QtUiTools)


class QtProperty:
    """Attribute access for one Qt property; ``Class.text`` still gives the original method."""

    def __init__(self, name, original, writable):
        self.name, self.original, self.writable = name, original, writable

    def __get__(self, obj, cls=None):
        if obj is None:
            return self.original if self.original is not None else self
        return QtCore.QObject.property(obj, self.name)

    def __set__(self, obj, value):
        if not self.writable:
            raise AttributeError(f"{type(obj).__name__}.{self.name} is a read-only Qt property")
        setter = getattr(obj, "set" + self.name[0].upper() + self.name[1:], None)
        if setter is not None:
            setter(value)
        else:
            QtCore.QObject.setProperty(obj, self.name, value)


class NameAlias:
    def __get__(self, obj, cls=None):
        return self if obj is None else QtCore.QObject.property(obj, "objectName")

    def __set__(self, obj, value):
        obj.setObjectName(value)


def _expose_properties(cls):
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        prop = meta.property(index)
        name = prop.name()
        own = cls.__dict__.get(name)
        if isinstance(own, (QtProperty, QtCore.Property)):
            continue
        original = own if own is not None else getattr(cls, name, None)
        with contextlib.suppress(AttributeError, TypeError):
            setattr(cls, name, QtProperty(name, original, prop.isWritable()))


def accepted_arguments(function):
    """How many positional arguments a callable takes; None = any number."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _wrap_slot(slot, signature):
    limit = accepted_arguments(slot)

    def call(*arguments):
        try:
            return slot(*(arguments if limit is None else arguments[:limit]))
        except Exception:  # Qt would swallow it
            slot_errors.append((signature, traceback.format_exc()))
            raise

    return call


def normalize(signature):
    """``"a( const QString & )"`` -> ``"a(QString)"``; QMetaObject.normalizedSignature is broken in PySide6 6.12."""
    name, arguments = signature.strip().rstrip(")").split("(", 1)
    parts = [re.sub(r"^const\s+(.*?)\s*&$", r"\1", part.strip()) for part in arguments.split(",")]
    return f"{name.strip()}({','.join(part.replace(' ', '') for part in parts)})"


def find_signal(obj, signature):
    """The bound PySide6 signal for a C++ signature such as ``'clicked(bool)'``; raises if there is none."""
    if "(" not in signature:
        raise ValueError(f"signal {signature!r}: PythonQt needs the full signature, e.g. 'clicked(bool)'")
    declared = getattr(type(obj), "SIGNALS", {})  # stand-in widgets: C++ signature -> Python signal name
    normalized = normalize(signature)
    if normalized in declared:
        return getattr(obj, declared[normalized])
    meta = type(obj).staticMetaObject  # what obj.metaObject() gives dies with obj, and takes this one with it
    # clicked() is the clone of clicked(bool=false): indexOfSignal knows both
    if meta.indexOfSignal(normalized) < 0:
        raise ValueError(f"{type(obj).__name__} has no signal {signature!r}")
    name, arguments = normalized[:-1].split("(", 1)
    bound = getattr(obj, name)
    for key in (arguments, *([] if arguments else ["bool"])):
        try:
            return bound[key] if key else bound
        except (KeyError, IndexError, TypeError):
            continue
    return bound


_connections = {}  # C++ address -> [(signature, slot, wrapper)]


def _connect(self, signature, slot, *more):
    if more or not isinstance(signature, str) or not callable(slot):
        return _qt_connect(self, signature, slot, *more)
    wrapper = _wrap_slot(slot, signature)
    if signature.replace(" ", "").endswith("()"):
        inner = wrapper

        def wrapper(*_ignored):
            return inner()

    find_signal(self, signature).connect(wrapper)
    pointer = shiboken6.getCppPointer(self)[0]
    if pointer not in _connections:
        _connections[pointer] = []
        self.destroyed.connect(lambda *_: _connections.pop(pointer, None))
    _connections[pointer].append((signature, slot, wrapper))
    return True


def _disconnect(self, signature, slot=None, *more):
    if not isinstance(signature, str):
        return _qt_disconnect(self, signature, slot, *more)
    kept, pointer = [], shiboken6.getCppPointer(self)[0]
    for known, known_slot, wrapper in _connections.get(pointer, []):
        if known == signature and (slot is None or known_slot == slot):
            find_signal(self, signature).disconnect(wrapper)
        else:
            kept.append((known, known_slot, wrapper))
    if pointer in _connections:
        _connections[pointer] = kept
    return True


def stray_attributes(widget):
    """Attributes set on plain Qt objects below ``widget`` that Qt does not know, e.g. a misspelt property.

    PythonQt raises at once ("creating new attributes on C++ objects is not allowed"); PySide6 cannot be made
    to, so tests call this at their end.
    """
    found = []
    for obj in [widget, *widget.findChildren(QtCore.QObject)]:
        if type(obj).__module__.startswith("PySide6"):
            names = [name for name in vars(obj) if not hasattr(type(obj), name)]
            found += [f"{type(obj).__name__} {obj.objectName!r}: {name}" for name in names]
    return found


_qt_connect = QtCore.QObject.connect
_qt_disconnect = QtCore.QObject.disconnect
_installed = False


def _resolve_first(cls):
    """Let `connect` and `disconnect` be ours: PySide6 resolves these two in C, before the class dictionary."""
    original = cls.__getattribute__

    def getattribute(self, name):
        if name == "connect":
            return functools.partial(_connect, self)
        if name == "disconnect":
            return functools.partial(_disconnect, self)
        return original(self, name)

    cls.__getattribute__ = getattribute


def install():
    """Change the PySide6 classes, once per process."""
    global _installed
    if _installed:
        return
    _installed = True
    # PythonQt: object.name, widget.delete(), object.className() exist on every QObject
    QtCore.QObject.name = NameAlias()
    QtCore.QObject.className = lambda self: type(self).__name__
    QtCore.QObject.delete = lambda self: self.deleteLater()
    _resolve_first(QtCore.QObject)
    for module in QT_MODULES:
        for key in dir(module):  # not vars(): PySide6 creates classes lazily
            cls = getattr(module, key)
            if isinstance(cls, type) and issubclass(cls, QtCore.QObject):
                _expose_properties(cls)
                if not inspect.isfunction(cls.__getattribute__):  # QProcess and others bring a resolver of their own
                    _resolve_first(cls)
