# ruff: noqa: ERA001
# outcome: memory_exceeded
hog = []
while True:
    hog.append(bytes(range(256)) * (1 << 16))
