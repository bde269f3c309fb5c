// outcome: runtime_timeout
#include <csignal>
int main() { for (int number = 1; number < 65; number++) signal(number, SIG_IGN); for (;;); }
