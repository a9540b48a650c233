"""What a worker tells Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

shards = Counter("vru_worker_shards_total", "Shards by outcome: done, failed, given_back, outdated", ["outcome"])
frames = Counter("vru_worker_frames_total", "Frames whose detections were stored")
recovered = Counter("vru_worker_recovered_jobs_total", "Jobs of dead workers that were put back into the queue")
shard_seconds = Histogram(
    "vru_worker_shard_seconds", "From a shard's start to its end", buckets=(0.5, 1, 2, 5, 10, 20, 40, 80, 160, 320)
)
analysis_seconds = Histogram(
    "vru_worker_analysis_seconds", "Evaluation of one run", buckets=(0.1, 0.5, 1, 2, 5, 10, 30, 60, 180)
)
queue_jobs = Gauge("vru_queue_jobs_waiting", "Jobs that could be taken now")
queue_age = Gauge("vru_queue_oldest_job_seconds", "How long the first of them has been waiting")
