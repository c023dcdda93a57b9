"""Readers of what providers report: one file per source, one interface (`base`)."""
