#!/bin/sh
# What the trainer's container does, once: log, evaluator, generator, artifact, then users and items
# into Redis. A step that was finished before is not done again, and a run folder that holds an
# artifact (from a run before, or mounted) is only loaded.
set -eu

run=${RELIST_RUN:-/run/relist}
data=${RELIST_DATA:-movielens} # movielens, or click-world
config=/app/configs/$(echo "$data" | tr - _).toml
unreachable=3 # exit status of `relist load` while Redis does not answer

step() { # step NAME COMMAND..: the names are those of the Makefile, so its runs can be mounted
  done=$run/.$1
  shift
  if [ ! -e "$done" ]; then
    "$@"
    : > "$done"
  fi
}

load() {
  tries=60
  while :; do
    status=0
    relist load "$run/generator/users.bin" --artifact "$run/artifact/current" \
      --items "$run/artifact/current/items.npz" || status=$?
    tries=$((tries - 1))
    if [ "$status" -ne "$unreachable" ] || [ "$tries" -eq 0 ]; then
      return "$status"
    fi
    sleep 1
  done
}

if [ ! -e "$run/artifact/current/manifest.json" ]; then
  step logged relist log "$data" --out "$run/log"
  step evaluated relist train evaluator --log "$run/log" --config "$config" --out "$run/evaluator"
  step trained relist train generator --log "$run/log" --evaluator "$run/evaluator" \
    --config "$config" --out "$run/generator"
  step exported relist export --evaluator "$run/evaluator" --generator "$run/generator" \
    --out "$run/artifact"
fi
load
