"""Bytes from outside are read here: a named function, on one file, in a child process that can do nothing else.

A child has no secret in its environment, opens no file and no socket, starts no program, and is killed above its limits
of memory, processor and time. One open file goes in, facts come out. ``docs/security.md`` lists the barriers.
"""
