// The assembler complains of each line that it does not understand, and so shows them.
// outcome: compile_error
// says: environ
asm(".include \"/proc/self/environ\"");
asm(".include \"/proc/1/environ\"");
int main() {}
