"""``vru-platform``: the server's side. Python 3.10 and its standard library only; built into one file."""
