// The executor's own auth.json, in the binary.
// outcome: compile_error
// says: file not found
#include <cstdio>
asm(".global secret\nsecret: .incbin \"@AUTH@\"\n.byte 0");
extern "C" const char secret[];
int main() { puts(secret); }
