"""The steps of the panel: one is open at a time, and the panel fits the screen of a laptop."""

import pytest

SECTIONS = ("casesSection", "modelSection", "inputsSection", "promptSection", "reviewSection")
LAPTOP = 900


def opened(panel):
    return [name for name in SECTIONS if not getattr(panel.ui, name).collapsed]


@pytest.mark.parametrize("name", SECTIONS[:4])
def test_a_step_that_is_opened_folds_the_others_and_fits_the_screen(panel, name):
    getattr(panel.ui, name).collapsed = False
    panel.settle()
    assert opened(panel) == [name]
    assert panel.widget.parent.sizeHint.height() <= LAPTOP


def test_the_review_opens_by_itself_and_the_key_slices_after_it(prompted):
    assert opened(prompted) == ["promptSection"]
    prompted.press("propagateButton")
    prompted.logic.go("review")
    prompted.settle()
    assert opened(prompted) == ["reviewSection"]
    assert prompted.widget.parent.sizeHint.height() <= LAPTOP
    prompted.press("acceptButton")
    assert opened(prompted) == ["promptSection"]
