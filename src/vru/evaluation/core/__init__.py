"""The tables of boxes, the matcher and the settings that all of evaluation shares."""
