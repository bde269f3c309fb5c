// 2^32 terms.
// outcome: memory_exceeded compile_timeout
#define A(x) x + x + x + x
#define B(x) A(A(A(A(x))))
#define C(x) B(B(B(B(x))))
int main() { return C(1); }
