"""What the command can do, a file each with `run(options)`; options.py has what each can be told, without jax."""
