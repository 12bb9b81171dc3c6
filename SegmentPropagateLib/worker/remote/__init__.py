"""A worker on another computer: what both ends of the line share, and the end on the user's computer."""
