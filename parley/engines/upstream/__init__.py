"""Other Realtime servers that answer in our place: their kinds, which one to take, and the connection to it."""
