"""Counters read around a trial: queries, rows and cache commands of one subject."""
