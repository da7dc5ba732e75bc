"""bee's protocol on byte streams: the channels of clients and the connections of servers, shared by every stream transport."""
