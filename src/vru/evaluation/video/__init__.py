"""Metrics of one video in time: latency, false alarms, visibility."""
