// outcome: runtime_error
// signal: 9
#include <csignal>
int main() { raise(SIGKILL); }
