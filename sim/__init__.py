"""The world from the other side of each wire: instruments, broker, province. Never imported by the gateway."""
