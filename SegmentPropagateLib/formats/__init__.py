"""File formats behind `volume_io`: what is read and written, and what is refused."""
