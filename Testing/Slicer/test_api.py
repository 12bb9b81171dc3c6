"""Static checks: the module names only what Slicer 5.10 and later have, and packages every file."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "Testing" / "Harness" / "tools"
sys.path.insert(0, str(TOOLS))
STANDINS = (
    "qMRMLWidget",
    "qMRMLNodeComboBox",
    "qMRMLSegmentEditorWidget",
    "ctkCollapsibleButton",
)
VERSIONS = ("v5.10.0", "v5.12.3", "HEAD")


@pytest.fixture(scope="module")
def api_text():
    return (TOOLS / "qt_api.json").read_text(encoding="utf-8")


def test_the_module_names_only_what_slicer_5_10_and_later_have(slicer_app, api_text):
    from check_api import problems_in

    assert problems_in(ROOT / "SegmentPropagate", api_text) == {}


def test_the_check_finds_names_that_do_not_exist(slicer_app, api_text, tmp_path):
    from check_api import problems_in

    (tmp_path / "panel.ui").write_text('<ui><widget class="QPushButton" name="goButton"/></ui>')
    (tmp_path / "panel.py").write_text(
        "import qt, slicer\n"
        "slicer.util.arrayFromVolumes()\n"
        "slicer.arrayFromVolume()\n"
        "qt.QPushButtonn()\n"
        "qt.QSizePolicy.Ignoredd\n"
        "self.ui.goButton.text()\n"
        "self.ui.goButton.txt = 'x'\n"
        "self.ui.stopButton.text = 'x'\n"
        "self.ui.goButton.connect('clickd()', print)\n"
        "node.SetMagic(3)\n"
    )
    lines = sorted(line for _path, line, _text in problems_in(tmp_path, api_text))
    assert lines == list(range(2, 11))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", STANDINS)
def test_a_stand_in_offers_nothing_that_the_real_widget_lacks(slicer_app, api_text, name, version):
    from check_api import Api
    from record_qt_api import unpack
    from slicer_harness.designer import REGISTRY

    properties, methods, signals = Api(unpack(api_text)[version]).lookup(name)
    real = properties | methods | {signal.split("(")[0] for signal in signals}
    cls = REGISTRY[name]
    own = {n for base in cls.__mro__ if base.__module__.startswith("slicer_harness") for n in vars(base)}
    public = {n for n in own if n[0].islower() and not n.isupper()} - {"staticMetaObject", "resizeEvent"}
    assert public <= real, sorted(public - real)
    assert set(getattr(cls, "SIGNALS", {})) <= signals, sorted(set(cls.SIGNALS) - signals)


@pytest.mark.parametrize("package", ["SegmentPropagate", "SegmentPropagateLib"])
@pytest.mark.parametrize("name", ["MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"])
def test_cmake_lists_exactly_the_files_on_disk(package, name):
    from cmake_lists import LISTS, files_on_disk, listed

    assert listed(package, name) == files_on_disk(package, LISTS[name]), "run Testing/Harness/tools/cmake_lists.py"


def test_only_the_module_itself_lies_in_the_module_folder():
    assert [path.name for path in (ROOT / "SegmentPropagate").glob("*.py")] == ["SegmentPropagate.py"]


def test_the_extensions_index_can_read_the_metadata():
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    for name in ("EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS", "EXTENSION_HOMEPAGE", "EXTENSION_DESCRIPTION"):
        assert re.search(rf'set\({name} "[^"\n]+"\)', text), name
    assert 'set(EXTENSION_DEPENDS "PyTorch")' in text


def test_the_pictures_that_the_metadata_names_are_in_the_repository():
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    paths = re.findall(r"/main/(Resources/\S+?\.png)", text)
    assert len(paths) >= 3
    assert [path for path in paths if not (ROOT / path).is_file()] == []
