"""What `jaxrnn inspect` finds and draws: a file a question, and the pictures in one."""
