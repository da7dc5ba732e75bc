"""Observer ``opentelemetry``: traces and metrics, named by OpenTelemetry's RPC conventions 1.45.

``observer.py`` is the plugin. ``attributes.py`` has the words of the conventions, and
``propagation.py`` carries the context of a trace in bee's metadata.
"""
