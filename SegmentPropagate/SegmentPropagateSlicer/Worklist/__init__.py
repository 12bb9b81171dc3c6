"""Object after object, case after case: the next segment, figures of segments, cases loaded and saved; no widgets."""
