// The executor's own auth.json, in an error message.
// outcome: compile_error
// says: No such file
#include "@AUTH@"
int main() {}
