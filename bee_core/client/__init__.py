"""The two clients, what they share, and the proxies that applications call.

What a call means is in ``calls/``; this room waits, connects and closes.
"""
