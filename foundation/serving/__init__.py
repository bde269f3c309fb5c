"""The HTTPS server's processes: held requests and who wakes them, slow clients, memory."""
