"""The nodes of one service: which fit what the client asks for, which are ready, and why.

Pure: lists come in as snapshots. Who finds them is ``control/``.
"""
