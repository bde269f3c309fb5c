// Somebody who goes on changing what is being handed out.
// outcome: succeeded
// most_files: 1
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>
int main() {
    close(open("out/file", O_CREAT, 0600));
    if (fork() == 0) {
        setsid();
        signal(SIGTERM, SIG_IGN);
        for (;;) {
            (void)!unlink("out/file");
            (void)!symlink("/dev/zero", "out/file");
            (void)!unlink("out/file");
            int file = open("out/file", O_CREAT | O_WRONLY, 0600);
            (void)!ftruncate(file, 1 << 20);
            (void)!ftruncate(file, 10);
            close(file);
        }
    }
    usleep(100000);
}
