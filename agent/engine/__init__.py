"""What happens in time: workers, a container's life, its restarts; the rules they apply are in agent.core."""
