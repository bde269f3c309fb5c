// outcome: succeeded
// says: still here
#include <csignal>
#include <cstdio>
int main() { kill(-1, SIGSTOP); kill(-1, SIGKILL); puts("still here"); }
