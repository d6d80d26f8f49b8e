"""Losses: functions of vectors, without schedules, batches or files."""
