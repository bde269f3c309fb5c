// Who opens which header when: what others compile, seen in /usr, which all of them have.
// outcome: succeeded
// says: watched 0
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>
static int watched;
static void check(const char *name, long result) { if (result >= 0) { watched++; puts(name); } }
int main() {
    signal(SIGIO, SIG_IGN);
    int folder = open("/usr/include", O_RDONLY | O_DIRECTORY), file = open("/usr/include/stdio.h", O_RDONLY);
    unsigned long long range[2] = {0, 4096}, told[5];
    check("inotify_init", inotify_init());
    check("inotify_init1", inotify_init1(IN_NONBLOCK));
    check("inotify_add_watch", inotify_add_watch(0, "/usr/include", IN_OPEN));
    check("fanotify_init", fanotify_init(0, O_RDONLY));
    check("fanotify_mark", fanotify_mark(0, FAN_MARK_ADD, FAN_OPEN, folder, "/usr/include"));
    check("dnotify", fcntl(folder, F_NOTIFY, DN_ACCESS | DN_MULTISHOT));
    check("lease", fcntl(file, F_SETLEASE, F_WRLCK));
    int own = open("/tmp/own", O_RDWR | O_CREAT, 0600);  // where the file's owner, it may have a lease
    check("lease", fcntl(own, F_SETLEASE, F_RDLCK));
    check("cachestat", syscall(451, file, range, told, 0));
    printf("watched %d\n", watched);
}
