"""One change at a time, and the record of who changed what."""
