"""What happens in time: workers, a container's life, its restarts. The rules are in agent.core; here they are applied."""
