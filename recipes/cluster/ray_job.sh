#!/usr/bin/env bash
# An exported run as a job of a Ray cluster that is there already. Configured, not run here.
#   rephrase-rl export verl RECIPE OUT
#   recipes/cluster/ray_job.sh http://HEAD:8265 /shared/OUT [verl overrides ...]
# The folder must lie on a disk that all nodes share, under the same path.
set -euo pipefail
dashboard="${1:?address of the Ray dashboard, http://HEAD:8265}"
folder="${2:?the exported folder, as the cluster sees it}"
shift 2
exec ray job submit --address "$dashboard" -- bash "$folder/launch.sh" "$@"
