"""The control plane: it learns of nodes, probes them and keeps registrations alive.

It works beside the calls and never in their way.
"""
