"""Network, learner, training."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from truefill.config.fields import Count, FilePath, Fraction, NonNegative, Positive, Section


class EncoderConfig(Section):
    """What stands between the market window and the layers after it (docs/networks.md)."""

    kind: str = Field(
        "none", description="see `truefill list encoders`; one of your own comes from plugins:"
    )
    params: dict[str, Any] = Field(default_factory=dict, description="of that encoder")

    def __hash__(self) -> int:
        return hash((self.kind, json.dumps(self.params, sort_keys=True)))


class NetworkConfig(Section):
    """Policy and value network: encoder, memory, hidden layers, heads."""

    encoder: EncoderConfig = Field(default_factory=lambda: EncoderConfig())
    hidden: tuple[Count, ...] = Field(
        (64, 64), description="units per hidden layer; [] = the heads sit on encoder or memory"
    )
    activation: Literal["tanh", "relu", "gelu", "silu", "elu", "leaky_relu"] = Field(
        "relu", description="activation"
    )
    initialization: Literal[
        "normal", "orthogonal", "glorot_uniform", "he_normal", "lecun_normal"
    ] = Field(
        "normal",
        description="of weights; normal and orthogonal are scaled by the gain of the activation",
    )
    layer_norm: bool = Field(
        False, description="layer normalization between a layer's product and its activation"
    )
    shared_trunk: bool = Field(True, description="policy and value share all layers but the last")
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
    mask_idle: bool = Field(
        True,
        description="bars whose orders cannot fill (no-trade windows, between decisions) teach "
        "the policy nothing and are left out of its loss; the former are left out of the critic's",
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


class CvarConfig(Section):
    """How much the worst returns count beside the mean one: conditional value at risk."""

    alpha: Fraction = Field(0.05, gt=0.0, description="share of returns that are the tail")
    weight: NonNegative = Field(0.0, description="weight of the tail's advantage; 0 = off")
    ramp_updates: Annotated[int, Field(ge=0)] = Field(
        12, description="updates over which the weight rises from 0"
    )
    cap: Positive | None = Field(
        None,
        description="the tail's part is cut here, in standard deviations of the advantage (of the "
        "tail's own, as a loss of its own); one that binds hides the very losses that it is about; "
        "null = none",
    )
    enters: Literal["advantage", "loss"] = Field(
        "advantage", description="added to the advantage, or a clipped loss of its own"
    )
    limit: float | None = Field(
        None, le=0.0, description="the CVaR of a bar's reward shall not be below this; null = free"
    )
    dual_learning_rate: Positive = Field(
        0.05, description="with a limit: how fast the weight grows while it is missed (0 to 1 more)"
    )


class PopArtConfig(Section):
    """The critic learns in units of the returns' own mean and spread (van Hasselt et al. 2016)."""

    enabled: bool = Field(True, description="off: in units of the reward")
    decay: Fraction = Field(0.9, description="moving average of mean and second moment, an update")
    std_floor: Positive = Field(0.003, description="smallest unit, in reward")
    max_relative_step: Positive = Field(0.04, description="largest change of the unit an update")
    warmup_updates: Annotated[int, Field(ge=0)] = Field(
        4, description="updates that are only watched; then the unit is taken over at once"
    )
    min_samples: Count = Field(4_096, description="returns seen before the unit is taken over")
    holdout_envs: Count = Field(
        64, description="more accounts, of train, whose bars teach nothing: they judge the critic"
    )
    ev_floor: float | None = Field(
        None, le=1.0, description="held-out explained variance needed for that; null = any"
    )
    ev_tolerance: NonNegative = Field(
        0.1, description="epochs that cost the held-out bars more explained variance are a failure"
    )
    patience: Count = Field(2, description="failures in a row after which the unit stays as it is")


class CriticConfig(Section):
    """The critic of quantiles, for ``quantile_ppo`` and ``recurrent_quantile_ppo``."""

    quantiles: Annotated[int, Field(ge=2)] = Field(32, description="outputs; tau = (i + 0.5) / N")
    kappa: Positive = Field(
        0.1, description="Huber's threshold, in standard deviations of the returns"
    )
    cvar: CvarConfig = Field(default_factory=lambda: CvarConfig())
    popart: PopArtConfig = Field(default_factory=lambda: PopArtConfig())


class RuleConfig(Section):
    """A policy that is written, not learned, in the agent's place (docs/policies.md)."""

    policy: str = Field(
        "threshold", description="see `truefill list policies`; or one of your own, from plugins:"
    )
    params: dict[str, Any] = Field(default_factory=dict, description="of that policy")

    def __hash__(self) -> int:
        return hash((self.policy, json.dumps(self.params, sort_keys=True)))


class AgentConfig(Section):
    """The learner, or the rule that stands in its place."""

    kind: Literal["ppo", "recurrent_ppo", "quantile_ppo", "recurrent_quantile_ppo", "rule"] = Field(
        "ppo",
        description="see `truefill list agents`; rule: nothing is trained, agent.rule is judged",
    )
    rule: RuleConfig | None = Field(None, description="the policy of kind rule")
    network: NetworkConfig = Field(default_factory=lambda: NetworkConfig())
    memory: MemoryConfig = Field(default_factory=lambda: MemoryConfig())
    critic: CriticConfig = Field(default_factory=lambda: CriticConfig())
    ppo: PPOConfig = Field(default_factory=lambda: PPOConfig())

    @property
    def recurrent(self) -> bool:
        """Does the policy remember?"""
        return self.kind.startswith("recurrent_")

    @property
    def quantiles(self) -> int:
        """Outputs of the critic: 1 = the mean alone."""
        return self.critic.quantiles if self.kind.endswith("quantile_ppo") else 1

    @property
    def popart(self) -> PopArtConfig | None:
        """The critic's unit, where it has one of its own."""
        return self.critic.popart if self.quantiles > 1 and self.critic.popart.enabled else None

    @property
    def cvar(self) -> CvarConfig | None:
        """The weight of the tail, where it has or can get one."""
        own = self.critic.cvar
        on = self.quantiles > 1 and (own.weight > 0.0 or own.limit is not None)
        return own if on else None

    @property
    def sequence(self) -> int:
        """Bars that gradients go back through: 1 without memory."""
        if not self.recurrent:
            return 1
        return self.memory.sequence or self.ppo.num_steps

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if (self.kind == "rule") != (self.rule is not None):
            raise ValueError(
                "agent.kind rule needs agent.rule, e.g. {policy: threshold}"
                if self.kind == "rule"
                else f"agent.rule is of kind: rule, and agent.kind is {self.kind}"
            )
        return self

    @model_validator(mode="after")
    def _critics(self) -> Self:
        if self.quantiles == 1 and self.critic != CriticConfig():
            raise ValueError(
                f"agent.kind {self.kind} has no critic of quantiles; set kind: quantile_ppo, "
                "or leave agent.critic out"
            )
        return self

    @model_validator(mode="after")
    def _sequences(self) -> Self:
        if self.recurrent:
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
                f"agent.kind {self.kind} has no memory; set a recurrent kind, or leave it out"
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
    warm_start: FilePath | None = Field(
        None, description="folder of a policy bundle whose weights every seed begins with"
    )
    ensemble: Literal["vote", "mean"] | None = Field(
        None,
        description="the seeds' best policies together are the judged policy: by vote, or by the "
        "mean of what they would do; null = the best seed is",
    )
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
