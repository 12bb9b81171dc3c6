"""Stand-ins for the ctk widgets. Public names and signal signatures follow CTK's headers."""

from PySide6 import QtCore, QtWidgets

from slicer_harness.designer import register

Property, Signal = QtCore.Property, QtCore.Signal
__all__ = ["ctkCollapsibleButton", "ctkDoubleSpinBox", "ctkPathLineEdit", "ctkSliderWidget"]


def stored(kind, name, default, changed=None):
    """A Qt property kept in ``self._<name>``; ``changed(self, value)`` runs after it was set."""

    def get(self):
        return getattr(self, "_" + name, default)

    def put(self, value):
        setattr(self, "_" + name, value)
        if changed:
            changed(self, value)

    return Property(kind, get, put)


def setter(name):
    def method(self, value):
        setattr(self, name, value)

    return method


@register
class ctkCollapsibleButton(QtWidgets.QWidget):
    """Header button that folds its contents."""

    toggled, clicked, contentsCollapsed = Signal(bool), Signal(bool), Signal(bool)
    SIGNALS = {
        "contentsCollapsed(bool)": "contentsCollapsed",
        "toggled(bool)": "toggled",
        "clicked(bool)": "clicked",
        "clicked()": "clicked",
    }
    HEADER = 26

    def __init__(self, *arguments):
        text = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        parent = next((a for a in arguments if isinstance(a, QtWidgets.QWidget)), None)
        super().__init__(parent)
        self._header = QtWidgets.QToolButton(self)
        self._header.setObjectName("qt_header")
        self._header.setCheckable(True)
        self._header.setChecked(True)
        self._header.setToolButtonStyle(QtCore.Qt.ToolButtonTextBesideIcon)
        self._header.setArrowType(QtCore.Qt.DownArrow)
        self._header.clicked.connect(self._clicked)
        self._collapsed = False
        self.text = text
        self.setContentsMargins(6, self.HEADER, 6, 2)

    def _clicked(self, *_):
        self.collapsed = not self._collapsed
        self.clicked.emit(self.checked)

    def resizeEvent(self, event):
        self._header.setGeometry(0, 0, self.width, self.HEADER - 2)

    def _get_text(self):
        return self._text

    def _set_text(self, text):
        self._text = text
        self._header.setText(text)

    def _get_collapsed(self):
        return self._collapsed

    def _set_collapsed(self, collapsed):
        if collapsed == self._collapsed:
            return
        self._collapsed = bool(collapsed)
        self._header.setArrowType(QtCore.Qt.RightArrow if collapsed else QtCore.Qt.DownArrow)
        self.setMaximumHeight(self.HEADER - 2 if collapsed else 16777215)  # nothing but the header shows
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget) and child is not self._header:
                child.setVisible(not collapsed)
        self.contentsCollapsed.emit(self._collapsed)
        self.toggled.emit(not self._collapsed)

    text = Property(str, _get_text, _set_text)
    setText = setter("text")
    collapsed = Property(bool, _get_collapsed, _set_collapsed)
    setCollapsed = setter("collapsed")
    checked = Property(bool, lambda self: not self._collapsed, lambda self, on: self._set_collapsed(not on))
    setChecked = setter("checked")
    flat = stored(bool, "flat", False)
    collapsedHeight = stored(int, "collapsedHeight", 0)


@register
class ctkSliderWidget(QtWidgets.QWidget):
    """Slider and spin box for a float."""

    valueChanged, valueIsChanging = Signal(float), Signal(float)
    SIGNALS = {"valueChanged(double)": "valueChanged", "valueIsChanging(double)": "valueIsChanging"}
    STEPS = 1000

    def __init__(self, parent=None):
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Horizontal)
        self._slider.setRange(0, self.STEPS)
        self._spin = QtWidgets.QDoubleSpinBox()
        self._spin.setRange(0, 99)
        row.addWidget(self._slider)
        row.addWidget(self._spin)
        self._slider.valueChanged.connect(self._from_slider)
        self._spin.valueChanged.connect(self._from_spin)

    def _span(self):
        return (self._spin.maximum - self._spin.minimum) or 1.0

    def _from_slider(self, step):
        self._spin.setValue(self._spin.minimum + self._span() * step / self.STEPS)

    def _from_spin(self, value):
        self._slider.blockSignals(True)
        self._slider.setValue(round((value - self._spin.minimum) / self._span() * self.STEPS))
        self._slider.blockSignals(False)
        self.valueChanged.emit(value)

    value = Property(float, lambda self: self._spin.value, lambda self, v: self._spin.setValue(v))
    minimum = Property(float, lambda self: self._spin.minimum, lambda self, v: self._spin.setMinimum(v))
    maximum = Property(float, lambda self: self._spin.maximum, lambda self, v: self._spin.setMaximum(v))
    singleStep = Property(float, lambda self: self._spin.singleStep, lambda self, v: self._spin.setSingleStep(v))
    decimals = Property(int, lambda self: self._spin.decimals, lambda self, v: self._spin.setDecimals(v))
    suffix = Property(str, lambda self: self._spin.suffix, lambda self, v: self._spin.setSuffix(v))
    pageStep = stored(float, "pageStep", 1.0)
    tracking = stored(bool, "tracking", True)
    setValue, setMinimum, setMaximum = setter("value"), setter("minimum"), setter("maximum")
    setSingleStep, setDecimals, setSuffix = setter("singleStep"), setter("decimals"), setter("suffix")

    def setRange(self, low, high):
        self._spin.setRange(low, high)


@register
class ctkDoubleSpinBox(QtWidgets.QDoubleSpinBox):
    pass


@register
class ctkPathLineEdit(QtWidgets.QWidget):
    """Path with a browse button."""

    currentPathChanged = Signal(str)
    SIGNALS = {"currentPathChanged(QString)": "currentPathChanged"}
    Files, Dirs, Drives, Hidden, Executable, Readable, Writable = 2, 1, 4, 0x100, 0x40, 0x10, 0x20

    def __init__(self, parent=None):
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._combo = QtWidgets.QComboBox()
        self._combo.setEditable(True)
        self._combo.currentTextChanged.connect(self.currentPathChanged.emit)
        self._browse = QtWidgets.QToolButton()
        self._browse.setText("...")
        row.addWidget(self._combo, 1)
        row.addWidget(self._browse)

    def _get(self):
        return self._combo.currentText

    def _set(self, path):
        self._combo.setEditText(path)

    def addCurrentPathToHistory(self):
        if self._combo.findText(self.currentPath) < 0:
            self._combo.addItem(self.currentPath)

    currentPath = Property(str, _get, _set)
    setCurrentPath = setter("currentPath")
    filters = stored(int, "filters", 0)
    settingKey = stored(str, "settingKey", "")
    nameFilters = stored("QStringList", "nameFilters", [])
    showBrowseButton = stored(bool, "showBrowseButton", True)
