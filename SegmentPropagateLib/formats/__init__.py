"""Files in and out: what is read, what is written, and what is refused; the only place that knows LPS."""
