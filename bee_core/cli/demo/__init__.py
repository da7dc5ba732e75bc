"""``bee demo``: three servers, one of which is killed and restarted while calls go on."""
