"""Ways to a chat model: a network in this process, or a server. `base` says what they have in common."""
