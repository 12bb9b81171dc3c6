"""Segments, images and files may be called anything: the panel shows their names letter by letter."""

import pytest
import qt
from suggest_double import answer, draft

LABELS = ("estimateLabel", "figuresLabel", "learnLabel", "modelInfo", "projectLabel", "promptHint", "sliceInfo",
          "statusLabel")  # fmt: skip


@pytest.mark.parametrize("name", LABELS)
def test_a_name_that_looks_like_html_is_shown_as_it_is(panel, name):
    assert getattr(panel.ui, name).textFormat == qt.Qt.PlainText


def test_an_ampersand_in_the_name_of_a_suggestion_is_no_shortcut(panel, tmp_path):
    panel.widget.suggest.useSupport(str(tmp_path))
    panel.press("suggestButton")
    panel.press("suggestAllButton")
    answer(panel.logic.runner, (draft(1, "Liver & spleen"),))
    panel.settle()
    assert panel.ui.suggestionTable.cellWidget(0, 0).text.startswith("Liver && spleen")
