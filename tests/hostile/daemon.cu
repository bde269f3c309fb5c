// A process of a session of its own, which holds the output and survives SIGHUP and SIGTERM.
// outcome: succeeded
// says: parent is done
#include <csignal>
#include <cstdio>
#include <unistd.h>
int main() {
    if (fork() == 0) {
        setsid();
        if (fork() == 0) { signal(SIGHUP, SIG_IGN); signal(SIGTERM, SIG_IGN); for (;;) pause(); }
        _exit(0);
    }
    puts("parent is done");
}
