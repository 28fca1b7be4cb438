"""Network, learner, training."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from truefill.config.fields import Count, Fraction, NonNegative, Positive, Section


class NetworkConfig(Section):
    """Feed-forward policy and value network."""

    hidden: tuple[Count, ...] = Field((64, 64), min_length=1, description="units per hidden layer")
    activation: Literal["tanh", "relu"] = Field("relu", description="activation")
    shared_trunk: bool = Field(True, description="policy and value share the hidden layers")
    log_std_init: float = Field(-0.5, description="Gaussian head: initial log standard deviation")


class Schedule(Section):
    """A value over training progress 0..1 (environment steps / total_steps)."""

    start: NonNegative = Field(description="value at the start")
    end: NonNegative | None = Field(None, description="value at the end; null = constant")
    kind: Literal["linear", "cosine"] = Field("linear", description="how it moves")


def _schedule(value: Any) -> Any:
    return {"start": value} if isinstance(value, int | float) else value


ScheduleField = Annotated[
    Schedule, BeforeValidator(_schedule, json_schema_input_type=float | Schedule)
]


class PPOConfig(Section):
    """Proximal policy optimization (Schulman et al. 2017)."""

    learning_rate: ScheduleField = Field(3e-4, description="Adam step size; number or schedule")  # type: ignore[assignment]
    entropy: ScheduleField = Field(0.01, description="entropy coefficient; number or schedule")  # type: ignore[assignment]
    clip: ScheduleField = Field(0.2, description="ratio clip; number or schedule")  # type: ignore[assignment]
    num_envs: Count = Field(512, description="accounts stepped together")
    num_steps: Count = Field(64, description="bars per rollout and account")
    minibatch: Count = Field(2_048, description="samples per gradient step")
    block: Count = Field(64, description="samples are shuffled in blocks of this many accounts")
    epochs: Count = Field(4, description="passes over a rollout")
    gamma: Fraction = Field(0.99, description="discount per bar")
    gae_lambda: Fraction = Field(0.95, description="GAE lambda")
    value_coef: NonNegative = Field(0.5, description="weight of the value loss")
    max_grad_norm: Positive = Field(0.5, description="global gradient norm is clipped to this")
    target_kl: Positive | None = Field(
        None, description="no further epoch once the epoch's mean KL exceeds this; null = off"
    )

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        rollout = self.num_envs * self.num_steps
        if rollout % self.minibatch:
            raise ValueError(
                f"minibatch {self.minibatch} does not divide the rollout "
                f"{self.num_envs} x {self.num_steps} = {rollout}"
            )
        if self.minibatch % self.block:
            raise ValueError(f"block {self.block} does not divide minibatch {self.minibatch}")
        if self.num_envs % self.block:
            raise ValueError(
                f"block {self.block} does not divide num_envs {self.num_envs}; "
                "set agent.ppo.block to a divisor of it"
            )
        return self


class MemoryConfig(Section):
    """A recurrent layer between the observation and the hidden layers, for ``recurrent_ppo``."""

    cell: Literal["gru", "lstm", "min_gru"] = Field("gru", description="kind of cell")
    units: Count = Field(128, description="units of the cell")
    sequence: Count | None = Field(
        None, description="gradients go back through this many bars; null = agent.ppo.num_steps"
    )


class AgentConfig(Section):
    """The learner."""

    kind: Literal["ppo", "recurrent_ppo"] = Field("ppo", description="see `truefill list agents`")
    network: NetworkConfig = Field(default_factory=lambda: NetworkConfig())
    memory: MemoryConfig = Field(default_factory=lambda: MemoryConfig())
    ppo: PPOConfig = Field(default_factory=lambda: PPOConfig())

    @property
    def sequence(self) -> int:
        """Bars that gradients go back through: 1 without memory."""
        if self.kind != "recurrent_ppo":
            return 1
        return self.memory.sequence or self.ppo.num_steps

    @model_validator(mode="after")
    def _sequences(self) -> Self:
        if self.kind == "recurrent_ppo":
            bars = self.sequence
            if self.ppo.num_steps % bars:
                raise ValueError(
                    f"memory.sequence {bars} does not divide ppo.num_steps {self.ppo.num_steps}"
                )
            if self.ppo.minibatch % bars:
                raise ValueError(
                    f"sequences of {bars} bars do not divide ppo.minibatch {self.ppo.minibatch}; "
                    "set agent.memory.sequence to a divisor of it"
                )
        elif self.memory != MemoryConfig():
            raise ValueError(
                f"agent.kind {self.kind} has no memory; set kind: recurrent_ppo, or leave it out"
            )
        return self


class TrainingConfig(Section):
    """How long, how many seeds, when to stop."""

    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] = Field(
        (42, 123, 456, 789, 1337), min_length=1, description="one independent training each"
    )
    total_steps: Count = Field(
        2_000_000, description="environment steps (bars x accounts) per seed"
    )
    eval_every_steps: Count = Field(250_000, description="steps between evaluations on validation")
    eval_episodes: Count = Field(10, description="validation episodes per evaluation")
    eval_seed: int = Field(
        0, ge=0, description="seed of the evaluation episodes, same for all seeds"
    )
    patience: Count | None = Field(
        10, description="stop after this many evaluations without a better one; null = never"
    )
    checkpoint_every_steps: Count = Field(500_000, description="steps between checkpoints")
    tensorboard: bool = Field(
        False, description="also log updates to RUN/tensorboard (extra: tensorboard); not hashed"
    )
    worker_timeout_s: Positive = Field(
        300.0, description="a worker without progress for this long is killed and resumed, s"
    )

    @model_validator(mode="after")
    def _unique(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds are repeated")
        return self
