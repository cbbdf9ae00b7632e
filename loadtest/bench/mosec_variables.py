"""Environment variables of the mosec worker, apart from it so that reading them needs no mosec."""

ARTIFACT_VARIABLE, REDIS_VARIABLE = "BENCH_MOSEC_ARTIFACT", "BENCH_MOSEC_REDIS"
WORKERS_VARIABLE = "BENCH_MOSEC_WORKERS"
