"""``vru model`` and ``vru detect``: a light command each; ``run_...`` does the work and is imported when called."""
