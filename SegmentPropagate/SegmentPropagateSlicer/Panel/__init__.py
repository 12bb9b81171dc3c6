"""The panel: sections of widgets that show the logic's state and pass on what is pressed."""
