"""The flat ``qt`` module of Slicer, on PySide6."""

from PySide6 import QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets
from slicer_harness import pythonqt

pythonqt.install()
for _module in (QtCore, QtGui, QtWidgets, QtNetwork, QtUiTools):
    for _key in dir(_module):  # not vars(): PySide6 creates classes lazily
        if not _key.startswith("_"):
            globals().setdefault(_key, getattr(_module, _key))

from slicer_harness.uiloader import QUiLoader  # noqa: F401  (replaces PySide6's)


class QFileDialog(QtWidgets.QFileDialog):
    """PythonQt returns the path alone, PySide6 the path and the filter."""

    @staticmethod
    def getOpenFileName(*arguments):
        return QtWidgets.QFileDialog.getOpenFileName(*arguments)[0]


class QMenu(QtWidgets.QMenu):
    """PythonQt takes whatever is no widget for the title; Slicer's developer section relies on that."""

    def __init__(self, *arguments):
        first = arguments[:1]
        if first and not isinstance(first[0], QtWidgets.QWidget | str):
            arguments = (str(first[0]), *arguments[1:])
        super().__init__(*arguments)
