"""The signer: a process that holds the key and nothing else. It reads digests that workers stored, and signs them."""
