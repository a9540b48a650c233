"""Faults that a server can have, judged from its facts. `vru validate`, `deploy` and `doctor` share them."""
