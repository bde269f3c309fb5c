// The folder itself is a link, to what this program could read anyway, and its parent is another.
// outcome: succeeded
// left_out: out
#include <cstdio>
#include <unistd.h>
int main() {
    (void)!rmdir("out");
    (void)!symlink("/usr/include", "out");
    (void)!rename("/tmp/run", "/tmp/moved");
    (void)!symlink("/usr", "/tmp/run");
}
