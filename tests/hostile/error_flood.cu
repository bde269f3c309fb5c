// A few bytes that make the compiler print megabytes.
// outcome: output_exceeded
#define A int f() { return x; }
#define B A A A A A A A A A A
#define C B B B B B B B B B B
#define D C C C C C C C C C C
#define E D D D D D D D D D D
#define F E E E E E E E E E E
F
