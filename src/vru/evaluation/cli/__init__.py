"""``vru evaluate``, ``vru compare`` and ``vru truth``."""
