"""Recordings of a device's signals, with the markers that join its clock with the video's."""
