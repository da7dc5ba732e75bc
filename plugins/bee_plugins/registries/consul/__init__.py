"""Registry ``consul``: instances are Consul's service instances with a TTL check."""
