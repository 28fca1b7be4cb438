"""The command line: one command a task, no logic. Heavy imports live inside the commands."""
