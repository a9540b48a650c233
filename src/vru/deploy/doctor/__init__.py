"""`vru doctor`: what is wrong with a server or a laptop, each fault with its fix.

``probes.sh`` looks, in one round trip, and judges nothing; :mod:`evidence` holds what it saw; the other modules are
pure functions from evidence to findings, one a fault; :mod:`report` says it. A probe that failed makes its faults
*unknown*: they are shown, never taken for well.
"""
