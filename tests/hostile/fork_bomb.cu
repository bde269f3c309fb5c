// outcome: runtime_timeout
#include <unistd.h>
int main() { for (;;) fork(); }
