"""The names of the jobs that make a run, and limits on how often they are tried."""

PREPARE_RUN = "prepare_run"
RUN_SHARD = "run_shard"
ANALYSE_RUN = "analyse_run"

# The queue's lock for clips of which a try has failed, or has taken its worker with it: they are done one after the
# other, in all workers. So what one of them breaks is not blamed on another.
SUSPECTS = "suspects"

# So many workers may die while they prepare or analyse one run. Higher than a clip's tries: there is no clip to set
# aside, so the run ends.
MAX_DEATHS = 10
# A clip for which the ML engine was away so often ends its run: an hour at UNAVAILABLE_DELAY_S.
MAX_WAITS = 720
UNAVAILABLE_DELAY_S = 5.0

# Below this confidence the detections of a model are not kept. The average precision is over all that are kept.
SCORE_FLOOR = 0.01
