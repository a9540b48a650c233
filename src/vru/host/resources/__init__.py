"""What is on the server, one module a kind: expected state, actual state, and the changes between them.

Every kind has ``facts`` (one batched, read-only query) and ``changes`` (a generator: nothing to do is an empty yield).
The plan lists what the generators yield; the executor applies the very same.
"""
