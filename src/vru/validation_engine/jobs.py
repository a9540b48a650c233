"""The names of the jobs that make a run, and limits on how often they are tried."""

PREPARE_RUN = "prepare_run"
RUN_SHARD = "run_shard"
ANALYSE_RUN = "analyse_run"

# A shard whose detection failed so often fails its run.
MAX_FAILURES = 3
# A shard that was started so often without an end (its workers died, or the ML engine could not be reached) fails its
# run too. Much higher: it is the environment that failed, and it usually comes back.
MAX_STARTS = 30
# A job that took so many workers with it is not given to another.
MAX_STALLS = 10
UNAVAILABLE_DELAY_S = 5.0

# Below this confidence the detections of a model are not kept. The average precision is over all that are kept.
SCORE_FLOOR = 0.01
