// outcome: runtime_timeout
#include <csignal>
int main() { for (;;) raise(SIGSTOP); }
