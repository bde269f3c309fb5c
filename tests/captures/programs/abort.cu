#include <stdexcept>

int main() { throw std::runtime_error("matrix sizes differ: 512 and 500"); }
