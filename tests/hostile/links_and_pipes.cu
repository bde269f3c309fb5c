// outcome: succeeded
// says: made
#include <cstdio>
#include <sys/stat.h>
#include <unistd.h>
int main() {
    mkfifo("pipe", 0666);
    (void)!symlink("/etc/shadow", "shadow");
    (void)!symlink("..", "up");
    (void)!symlink("@AUTH@", "/tmp/program");
    (void)!link("/job/program", "again");
    mknod("zero", S_IFCHR | 0666, 0x105);
    mkdir("\n\033[2J", 0777);
    puts("made");
}
