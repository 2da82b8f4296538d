#!/usr/bin/env bash
# A Ray cluster on the nodes of a SLURM job, and a run of verl on it. Configured, not run here.
#   sbatch --nodes=4 recipes/cluster/slurm_verl.sh RECIPE [--set path=value ...]
# The run directory must lie on a disk that all nodes share.
#SBATCH --job-name=rephrase-rl-verl
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --exclusive
#SBATCH --time=24:00:00
set -euo pipefail
recipe="${1:?the recipe to train}"
shift
gpus_per_node="${GPUS_PER_NODE:-8}"
# srun does not take this over from sbatch (SLURM 22.05 and later), and would give a node's task one core.
export SRUN_CPUS_PER_TASK="${SRUN_CPUS_PER_TASK:-${SLURM_CPUS_PER_TASK:-1}}"
port="${RAY_PORT:-6379}"
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head="${nodes[0]}"

# `--block` keeps the step alive; it ends with the job.
srun --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --port="$port" --num-gpus="$gpus_per_node" --block &
sleep 20
if [ "${#nodes[@]}" -gt 1 ]; then
    others="$(IFS=,; echo "${nodes[*]:1}")"
    srun --nodes="$((${#nodes[@]} - 1))" --ntasks="$((${#nodes[@]} - 1))" --nodelist="$others" \
        ray start --address="$head:$port" --num-gpus="$gpus_per_node" --block &
    sleep 20
fi

srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
    env RAY_ADDRESS="$head:$port" \
    rephrase-rl train "$recipe" --engine verl \
    --set "verl.nodes=${#nodes[@]}" --set "verl.gpus_per_node=$gpus_per_node" "$@"
