// What is in out/ and no plain file of its own: each stays behind, and none is followed or waited for.
// outcome: succeeded
// files: fine
// left_out: again, device, folder, full, pipe, shadow, socket, to itself, token, unreadable
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
int main() {
    fclose(fopen("out/fine", "w"));
    (void)!symlink("/etc/shadow", "out/shadow");
    (void)!symlink("@AUTH@", "out/token");
    (void)!symlink("/dev/zero", "out/device");
    (void)!symlink("to itself", "out/to itself");
    mkfifo("out/pipe", 0666);
    mkdir("out/folder", 0777);
    close(open("twice", O_CREAT, 0600));
    (void)!link("twice", "out/again");
    close(open("out/unreadable", O_CREAT, 0));
    mknod("out/zero", S_IFCHR | 0666, 0x105);  // which is denied
    (void)!link("/dev/full", "out/full");
    (void)!symlink("/proc/1/mem", "out/full");
    sockaddr_un address = {AF_UNIX, "out/socket"};
    bind(socket(AF_UNIX, SOCK_STREAM, 0), (sockaddr *)&address, sizeof address);
}
