"""What `vru` says: on a terminal, in plain lines, as JSON, in a log file."""
