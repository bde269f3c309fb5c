// outcome: output_exceeded
// says: bytes left out
#include <cstdio>
int main() { for (;;) puts("spam"); }
