"""Pictures in the worklist: made by a process of their own, kept, made again for another result; never waited for."""

import time

import pytest
from day import TRUTH, dayOf, drawFolder


@pytest.fixture
def day(slicer, warmWorker, tmp_path):
    with dayOf(slicer, warmWorker) as found:
        found.open(drawFolder(tmp_path / "scans", "ab"))
        yield found


def picture(day, row):
    """The pixels of the picture in a row; None while there is none."""
    icon = day.ui.caseTable.item(row, 0).icon()
    return None if icon.isNull() else icon.pixmap(48, 48).toImage()


def wait(day, isThere):
    end = time.monotonic() + 60
    while not isThere():
        assert time.monotonic() < end
        day.panel.settle()
        time.sleep(0.02)


def test_cases_get_pictures_one_after_another_and_a_saved_result_another(day):
    (day.casework.worklist.path.parent / "b.nrrd").write_bytes(b"NRRD0004\n")  # cannot be drawn, and stops nothing
    wait(day, lambda: picture(day, 0) is not None)
    before = picture(day, 0)
    day.draw(TRUTH)
    day.press("saveCaseButton")
    wait(day, lambda: picture(day, 0) != before)
    assert picture(day, 1) is None


def test_a_list_of_hundreds_is_shown_at_once_and_its_pictures_by_and_by(day, tmp_path):
    folder = drawFolder(tmp_path / "many", ["000"])
    image = (folder / "000.nrrd").read_bytes()
    for number in range(1, 300):
        (folder / f"{number:03d}.nrrd").write_bytes(image)
    began = time.thread_time()
    day.cases.casework.useSource(folder)
    day.cases.refresh()
    assert day.ui.caseTable.rowCount == 300
    day.cases.refresh()
    assert time.thread_time() - began < 1.0
    longest = 0.0
    for _turn in range(30):
        before = time.thread_time()
        day.panel.app.app.processEvents()
        longest = max(longest, time.thread_time() - before)
    assert longest < 0.05
