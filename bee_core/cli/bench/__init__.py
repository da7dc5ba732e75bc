"""``bee bench``: the speed of one method, closed loop or at a constant rate."""
