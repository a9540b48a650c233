"""``vru local``: the whole platform as processes on this machine, without Docker and without a server."""
