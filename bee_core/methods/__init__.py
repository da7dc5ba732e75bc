"""Methods of a service as Python states them: decorators, type hints, signatures, interfaces.

What a hint or a mark means belongs here. What a codec makes of it belongs to the codec.
"""
