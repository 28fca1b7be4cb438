"""Bars in, clean tables out: read, refuse defects, filter sessions, join slow series, split."""
