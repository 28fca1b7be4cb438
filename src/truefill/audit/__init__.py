"""The leak certificate: change the future, build again, and see whether the past moved."""
