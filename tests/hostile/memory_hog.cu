// outcome: memory_exceeded
#include <cstdlib>
#include <cstring>
int main() { for (;;) { void *p = malloc(64 << 20); if (p) memset(p, 1, 64 << 20); } }
