"""How Slicer gets to know the effect."""

from pathlib import Path

EFFECT_FILE = Path(__file__).with_name("SegmentEditorPropagateEffect.py")


def registerEffect() -> None:
    """Offer the effect in every Segment Editor; once, when Slicer has started and knows its own effects."""
    import qSlicerSegmentationsEditorEffectsPythonQt as effects

    effect = effects.qSlicerSegmentEditorScriptedEffect(None)
    if effect.setPythonSource(EFFECT_FILE.as_posix()):
        effect.self().register()
