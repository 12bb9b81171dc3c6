"""Slicer's translation of what the user reads, so that what only speaks needs no `slicer`."""

try:
    from slicer.i18n import tr
except ImportError:  # outside Slicer, where everything is said in English

    def tr(text: str) -> str:
        """The text as it is."""
        return text


__all__ = ["tr"]
