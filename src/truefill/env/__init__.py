"""The environment: observations, action decoders, rewards, episodes, batched in JAX."""
