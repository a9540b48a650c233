"""What is known of a server: its facts, the cache of them, its audit as it was last seen, its host program."""
