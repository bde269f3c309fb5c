// A program of 8 GiB.
// outcome: compile_error
char array[8ull << 30] = {1};
int main() { return array[0]; }
