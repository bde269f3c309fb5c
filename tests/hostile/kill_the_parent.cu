// outcome: succeeded
// says: still here
#include <csignal>
#include <cstdio>
#include <unistd.h>
int main() {
    for (int number = 1; number < 65; number++) if (number != SIGCHLD) kill(getppid(), number);
    for (int pid = 1; pid < 70000; pid++) if (pid != getpid()) kill(pid, SIGKILL);
    puts("still here");
}
