# ruff: noqa: ERA001, SIM115
# A file that calls itself a module of the standard library, and a tree of links in out/.
# outcome: succeeded
# log: "ran\n"
# left_out: passwd, up
import os

open("sys.py", "w").write("raise SystemExit(1)")
open("sitecustomize.py", "w").write("raise SystemExit(1)")
os.symlink("/etc/passwd", "out/passwd")
os.symlink("../..", "out/up")
print("ran")
