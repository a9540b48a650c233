"""Replacing a service's containers without an interruption: candidates, readiness, nginx's routes."""
