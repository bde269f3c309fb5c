// outcome: output_exceeded
#include <cstdio>
int main() { for (;;) putchar('\n'); }
