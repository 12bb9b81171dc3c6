"""The licence of weights that may not be used for everything: confirmed once, before they are downloaded."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from SegmentPropagateLib.models.registry import NamedModel

CONFIRMED_KEY = "SegmentPropagate/confirmedLicences"


def isConfirmed(model: NamedModel) -> bool:
    """Whether a model may be downloaded; asks the user where nobody has yet, and remembers a yes for that licence."""
    if not model.awaits_consent:
        return True
    settings = slicer.app.userSettings()
    known = str(settings.value(CONFIRMED_KEY, "") or "").split()
    if model.licence_url not in known:
        if not slicer.util.confirmOkCancelDisplay(_question(model), _("Licence of {model}").format(model=model.name)):
            return False
        settings.setValue(CONFIRMED_KEY, " ".join([*known, model.licence_url]))
    model.accept_licence()  # where the worker looks, which downloads
    return True


def _question(model: NamedModel) -> str:
    text = _(
        "The weights of {model} are for {licence}, not for {forbidden}.<p>Their licence: {link}</p>"
        "<p>Download them for such use?</p>"
    )
    link = f'<a href="{model.licence_url}">{model.licence_url}</a>'
    return text.format(model=model.name, licence=model.licence, forbidden=model.forbids, link=link)
