// outcome: runtime_error
// signal: 11
int f(volatile int n) { volatile char block[4096]; block[0] = n; return f(n + 1) + block[0]; }
int main() { return f(0); }
