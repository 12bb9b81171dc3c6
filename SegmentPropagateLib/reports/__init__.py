"""What is told of a run: figures, pictures, and the report."""
