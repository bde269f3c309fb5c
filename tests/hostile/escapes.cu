// outcome: succeeded
// log: '\x1b]0;owned\x07\x1b[2J\x1bc\r\x08\x08\x08--- job 1 succeeded ---'
#include <cstdio>
int main() { printf("\033]0;owned\007\033[2J\033c\r\b\b\b--- job 1 succeeded ---"); }
