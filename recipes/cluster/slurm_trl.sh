#!/usr/bin/env bash
# TRL over accelerate on a few nodes of a SLURM cluster. Configured, not run here.
#   sbatch --nodes=2 recipes/cluster/slurm_trl.sh RECIPE [--set path=value ...]
#SBATCH --job-name=rephrase-rl
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
set -euo pipefail
recipe="${1:?the recipe to train}"
shift
accelerate_config="${ACCELERATE_CONFIG:-recipes/accelerate/fsdp_8_gpus.yaml}"
gpus_per_node="${GPUS_PER_NODE:-8}"
# srun does not take this over from sbatch (SLURM 22.05 and later), and would give a node's task one core.
export SRUN_CPUS_PER_TASK="${SRUN_CPUS_PER_TASK:-${SLURM_CPUS_PER_TASK:-1}}"
# Read whole: `| head` would end scontrol early, and with pipefail the job.
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head="${nodes[0]}"

# One launcher on each node, which starts a process for each of its GPUs.
srun --kill-on-bad-exit=1 bash -c '
    exec accelerate launch \
        --config_file "$0" \
        --num_machines "$SLURM_NNODES" \
        --num_processes "$((SLURM_NNODES * $1))" \
        --machine_rank "$SLURM_NODEID" \
        --main_process_ip "$2" \
        --main_process_port 29500 \
        --rdzv_backend static \
        -m rephrase_rl.cli.main train "${@:3}"
' "$accelerate_config" "$gpus_per_node" "$head" "$recipe" "$@"
