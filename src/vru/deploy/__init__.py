"""``vru``: the laptop's side. It renders, ships and watches; the host program makes the change on the server."""
