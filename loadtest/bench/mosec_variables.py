"""Environment variables of the mosec worker; importing this module needs no mosec."""

ARTIFACT_VARIABLE, REDIS_VARIABLE = "BENCH_MOSEC_ARTIFACT", "BENCH_MOSEC_REDIS"
WORKERS_VARIABLE = "BENCH_MOSEC_WORKERS"
