"""Configuration as plain validated data: what a user's YAML file may say, and how it is read.

May import errors only; needs neither torch nor anything that does.
"""

from rephrase_rl.config.blocks.acceptance import AcceptRule
from rephrase_rl.config.blocks.fields import CustomBlock
from rephrase_rl.config.blocks.gates import AlwaysGate, FailedShareGate, Gate, NeverGate
from rephrase_rl.config.blocks.slots import ReplaceWorstSlot, ReservedSlot, Slot
from rephrase_rl.config.blocks.sources import NoSource, RephraseSource, Source
from rephrase_rl.config.blocks.train import ClippedRatioTrain, Train
from rephrase_rl.config.data import DataConfig, MappingConfig, TableConfig, TestDataConfig
from rephrase_rl.config.declared import benchmark_names, declared_benchmark, read_benchmark_file
from rephrase_rl.config.endpoint import BudgetConfig, EndpointConfig
from rephrase_rl.config.evaluation import (
    BenchmarkConfig,
    BenchmarkPromptConfig,
    EarlyStopConfig,
    EvaluationConfig,
    JudgeConfig,
    LayoutConfig,
    RetentionConfig,
    SetEvaluationConfig,
)
from rephrase_rl.config.experts import EndpointTeacher, ExpertsConfig, ModelTeacher
from rephrase_rl.config.foreign import require_trust
from rephrase_rl.config.guidance import (
    AdvantageConfig,
    GuidanceConfig,
    NoSpreadConfig,
    merge_blocks,
)
from rephrase_rl.config.harness import HarnessConfig
from rephrase_rl.config.load import (
    config_hash,
    config_to_plain,
    dump_config,
    load_config,
    load_study,
    parse_benchmarks,
    parse_config,
    parse_endpoint,
    parse_experts,
    parse_guidance,
    parse_harness,
)
from rephrase_rl.config.lora import LoraConfig
from rephrase_rl.config.plan import PlanConfig, ShapeConfig
from rephrase_rl.config.schema import (
    ComputeConfig,
    GuardsConfig,
    LogConfig,
    ModelConfig,
    PolicyConfig,
    PromptsConfig,
    RewardConfig,
    RunConfig,
    TrainDataConfig,
)
from rephrase_rl.config.sets import all_benchmarks, deciding_reward
from rephrase_rl.config.study import ArmConfig, StudyConfig
from rephrase_rl.config.yaml_text import read_yaml, write_yaml

__all__ = [
    "AcceptRule",
    "AdvantageConfig",
    "AlwaysGate",
    "ArmConfig",
    "BenchmarkConfig",
    "BenchmarkPromptConfig",
    "BudgetConfig",
    "ClippedRatioTrain",
    "ComputeConfig",
    "CustomBlock",
    "DataConfig",
    "EarlyStopConfig",
    "EndpointConfig",
    "EndpointTeacher",
    "EvaluationConfig",
    "ExpertsConfig",
    "FailedShareGate",
    "Gate",
    "GuardsConfig",
    "GuidanceConfig",
    "HarnessConfig",
    "JudgeConfig",
    "LayoutConfig",
    "LogConfig",
    "LoraConfig",
    "MappingConfig",
    "ModelConfig",
    "ModelTeacher",
    "NeverGate",
    "NoSource",
    "NoSpreadConfig",
    "PlanConfig",
    "PolicyConfig",
    "PromptsConfig",
    "RephraseSource",
    "ReplaceWorstSlot",
    "ReservedSlot",
    "RetentionConfig",
    "RewardConfig",
    "RunConfig",
    "SetEvaluationConfig",
    "ShapeConfig",
    "Slot",
    "Source",
    "StudyConfig",
    "TableConfig",
    "TestDataConfig",
    "Train",
    "TrainDataConfig",
    "all_benchmarks",
    "benchmark_names",
    "config_hash",
    "config_to_plain",
    "deciding_reward",
    "declared_benchmark",
    "dump_config",
    "load_config",
    "load_study",
    "merge_blocks",
    "parse_benchmarks",
    "parse_config",
    "parse_endpoint",
    "parse_experts",
    "parse_guidance",
    "parse_harness",
    "read_benchmark_file",
    "read_yaml",
    "require_trust",
    "write_yaml",
]
